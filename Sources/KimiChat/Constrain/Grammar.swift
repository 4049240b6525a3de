import KimiCore

/// What a JSON value may be, compiled from a JSON Schema for writing it token by token. Immutable: any number of threads may use
/// it at once.
///
/// **Every text that a `GrammarMatcher` lets end is JSON and valid** under Draft 2020-12 with format checks, but for the keywords
/// in `degradations`. **No valid text is forbidden**, in any spelling and any tokenisation, with these exceptions:
/// - a key that stands twice in one object;
/// - an integer (`type` integer, `multipleOf` an integer) written with a fraction or an exponent;
/// - an exponent behind a mantissa of more than one digit before the point, or beyond ±307; with bounds also behind a fraction of
///   more than 16 digits;
/// - a fraction that is a multiple (`multipleOf`) only because doubles are rounded;
/// - a number of more than 64 characters; where it is bounded, more than 20 digits before the point or 17 behind it, and where
///   both it and `multipleOf` are fractions, more than 2^53 steps;
/// - more white space in a row than `spaceLimit`: what serialisers write at that depth, and some;
/// - arrays and objects nested deeper than 64, or more than 4,096 keys in one object;
/// - with `uniqueItems` integers of 2^59 and more, and minus zero;
/// - lone surrogates.
package final class Grammar: Sendable {
    /// What the schema demands and this grammar does not; empty if it is exact.
    package let degradations: [Degradation]

    let root: Int32
    /// The alternatives of node n are those from `starts[n]` up to, and without, `starts[n + 1]`.
    let starts: [Int32]
    let alternatives: [Shape]
    /// How many levels of arrays and objects a value of a node needs at least; `unsatisfiable` if there is none.
    let depths: [Int32]
    let numbers: [NumberShape]
    let strings: [StringShape]
    let arrays: [ArrayShape]
    let objects: [ObjectShape]
    let trees: [LiteralTree]
    let languages: [StringLanguage]
    /// Nodes that shapes point into: elements of tuples, values of declared keys by rank.
    let nodes: [Int32]
    /// For objects, how many of the keys below each rank are required.
    let requiredBelow: [Int32]

    static let depthLimit: Int32 = 64
    static let unsatisfiable: Int32 = 1 << 20
    /// The most characters of white space between two tokens of JSON, within so many arrays and objects. A model that is at a loss
    /// writes white space for ever; indentation takes eight characters a level at most.
    package static func spaceLimit(depth: Int) -> Int { 32 + 8 * depth }

    /// Compiles a schema. Never fails: what cannot be enforced is listed in `degradations`, up to "any JSON value".
    package convenience init(schema: JSON) {
        var compiler = GrammarCompiler(schema)
        self.init(compiler.compile())
    }

    /// Any JSON object.
    package static let anyObject: Grammar = {
        var schema = JSONObject()
        _ = schema.add("type", .string("object"))
        return Grammar(schema: .object(schema))
    }()

    /// Any JSON value.
    package static let anyValue = Grammar(schema: .bool(true))

    /// One of some byte strings, as they stand and not as JSON: the name of a tool, a fixed piece of text. Empty strings and
    /// repetitions are left out; with no string left the grammar allows nothing.
    package static func literals(_ strings: [[UInt8]]) -> Grammar {
        let strings = Array(Set(strings)).filter { !$0.isEmpty }
        var tables = GrammarTables()
        tables.trees.append(LiteralTree(strings.map { $0.map(UInt32.init) }))
        tables.alternatives.append(Shape(kind: .raw, index: 0, depth: 0))
        tables.starts = [0, 1]
        tables.depths = [strings.isEmpty ? unsatisfiable : 0]
        return Grammar(tables)
    }

    init(_ tables: GrammarTables) {
        degradations = tables.degradations
        root = tables.root
        starts = tables.starts
        alternatives = tables.alternatives
        depths = tables.depths
        numbers = tables.numbers
        strings = tables.strings
        arrays = tables.arrays
        objects = tables.objects
        trees = tables.trees
        languages = tables.languages
        nodes = tables.nodes
        requiredBelow = tables.requiredBelow
    }
}

/// The tables of a grammar while they grow.
struct GrammarTables {
    var degradations: [Degradation] = []
    var root: Int32 = 0
    var starts: [Int32] = [0]
    var alternatives: [Shape] = []
    var depths: [Int32] = []
    var numbers: [NumberShape] = []
    var strings: [StringShape] = []
    var arrays: [ArrayShape] = []
    var objects: [ObjectShape] = []
    var trees: [LiteralTree] = []
    var languages: [StringLanguage] = []
    var nodes: [Int32] = []
    var requiredBelow: [Int32] = []
}

/// One alternative of a value, of one type.
struct Shape {
    enum Kind: UInt8 { case null, no, yes, number, string, array, object, raw }
    let kind: Kind
    /// Which one of its kind, in the grammar's tables.
    let index: Int32
    /// How many levels of nesting it needs, itself included.
    let depth: Int32
}

struct StringShape {
    enum Kind: UInt8 { case free, literals, language }
    let kind: Kind
    /// Of `Grammar.trees` or `Grammar.languages`.
    let index: Int32
    /// Lengths in scalars, for free strings.
    let minimum: Int32
    /// -1 if there is none.
    let maximum: Int32
}

struct ArrayShape {
    let prefix: Int32
    let prefixCount: Int32
    /// The node of what follows the prefix.
    let items: Int32
    let minimum: Int32
    /// Already clipped to what is possible; `Int32.max` if there is none.
    let maximum: Int32
    let isUnique: Bool
    /// Counts from here on behave alike.
    let plateau: Int32
}

struct ObjectShape {
    /// The declared keys.
    let tree: Int32
    /// In `Grammar.nodes`, by rank.
    let values: Int32
    /// In `Grammar.requiredBelow`, by rank.
    let required: Int32
    let requiredCount: Int32
    /// The node of other keys' values, or -1 if there may be none.
    let additional: Int32
    let minimum: Int32
    let maximum: Int32
    /// The depth of the deepest declared value.
    let deepest: Int32
}
