/// What a made-up tokenizer learns its merges from: words of English prose and of programs, the frequent ones first.
enum FrequentWords {
    static let english = """
        the of and to in a is that it was for on are with as his they be at one have this from or had by hot but \
        some what there we can out other were all your when up use word how said an each she which do their time if \
        will way about many then them would write like so these her long make thing see him two has look more day \
        could go come did my sound no most number who over know water than call first people may down side been now \
        find any new work part take get place made live where after back little only round man year came show every \
        good me give our under name very through just form much great think say help low line before turn cause same \
        mean differ move right boy old too does tell sentence set three want air well also play small end put home \
        read hand port large spell add even land here must big high such follow act why ask men change went light \
        kind off need house picture try us again animal point mother world near build self earth father head stand \
        own page should country found answer school grow study still learn plant cover food sun four thought let \
        keep eye never last door between city tree cross since hard start might story saw far sea draw left late run \
        while press close night real life few stop open seem together next white children begin got walk example \
        ease paper often always music those both mark book letter until mile river car feet care second group carry \
        took rain eat room friend began idea fish mountain north once base hear horse cut sure watch color face wood \
        main enough plain girl usual young ready above ever red list though feel talk bird soon body dog family \
        direct pose leave song measure state product black short numeral class wind question happen complete ship \
        area half rock order fire south problem piece told knew pass farm top whole king size heard best hour better \
        true during hundred remember step early hold west ground interest reach fast five sing listen six table \
        travel less morning ten simple several vowel toward war lay against pattern slow center love person money \
        serve appear road map science rule govern pull cold notice voice fall power town fine certain fly unit lead \
        cry dark machine note wait plan figure star box noun field rest correct able pound done beauty drive stood \
        contain front teach week final gave green quick develop sleep warm free minute strong special mind behind \
        clear tail produce fact street inch lot nothing course stay wheel full force blue object decide surface deep \
        moon island foot yet busy test record boat common gold possible plane age dry wonder laugh thousand ago ran \
        check game shape yes cool miss brought heat snow bed bring sit perhaps fill east weight language among \
        however because without within another against already although around important different system government \
        company information development research university president national local public general business service \
        community history report market member according policy include process provide result level office health \
        education experience
        """

    static let programming = """
        return function value string int float void const let var import from class struct enum self this null true \
        false print public private static final type def else elif while for switch case break continue default try \
        catch throw throws error result array list map set dict index count length size key name file path read \
        write open close buffer pointer memory thread lock queue stack node tree graph test assert expect model \
        token layer attention expert weight tensor matrix vector shape batch input output config option request \
        response server client socket http https json data async await func guard init include define template \
        typename namespace using auto bool char unsigned long double sizeof main argument parameter callback event \
        handler state update delete insert select where join begin commit
        """

    static let endings = """
        s ed ing er ers ly es al tion tions ation ment ments ness less ful able ible ity ies ive ous est ist ism ize \
        ized izing ance ence ant ent ary ory age ship hood like ward wise th y en
        """

    static func list(_ text: String) -> [String] { text.split(whereSeparator: \.isWhitespace).map(String.init) }
}
