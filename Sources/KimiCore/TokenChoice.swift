/// Which tokens may come next: all, or fewer.
package enum TokenChoice {
    case any
    /// All but these; ids outside the vocabulary do not count.
    case except([Int32])
    /// One of these, at least one of which is in the vocabulary.
    case oneOf([Int32])
    /// Those whose bit is set, in words of 64 in the order of ids: at least one, and a word for every 64 ids begun. Lent until the
    /// token is chosen.
    case among(UnsafePointer<UInt64>)
    /// This one. Nothing is drawn, so the draws of later tokens do not depend on it.
    case only(Int32)
}
