/// The sizes of a checkpoint to be made up: those members of `config.json` that shapes follow from.
struct Geometry {
    enum Heat: String, CaseIterable { case uniform, skewed }

    let name: String
    var hidden: Int
    var layers: Int
    var denseLayers: Int
    var denseWidth: Int
    var experts: Int
    var expertsPerToken: Int
    var expertWidth: Int
    var sharedExperts: Int
    var heads: Int
    var queryRank: Int
    var latent: Int
    var nope: Int
    var rope: Int
    var value: Int
    /// How evenly tokens choose among the experts of a layer.
    var heat = Heat.uniform
    /// Ids in all: the ranks and 256 special ones.
    var vocabulary: Int
    /// Files the weights are spread over.
    var shards: Int
    /// Whether there is a vision tower, and what its sizes are if so.
    var hasTower = false
    var tower = TowerGeometry.small

    static let context = 262_144
    static let specialCount = 256

    /// The ids below the special ones.
    var rankCount: Int { vocabulary - Self.specialCount }
}

extension Geometry {
    /// The sizes of the test fixture: a few megabytes.
    static let tiny = Geometry(
        name: "tiny", hidden: 192, layers: 4, denseLayers: 1, denseWidth: 320, experts: 16, expertsPerToken: 4,
        expertWidth: 96, sharedExperts: 1, heads: 4, queryRank: 96, latent: 64, nope: 32, rope: 16, value: 32,
        vocabulary: 1792, shards: 2)

    /// Large enough to measure with, small enough for any machine.
    static let mini = Geometry(
        name: "mini", hidden: 1024, layers: 8, denseLayers: 1, denseWidth: 4096, experts: 64, expertsPerToken: 8,
        expertWidth: 512, sharedExperts: 1, heads: 16, queryRank: 512, latent: 512, nope: 128, rope: 64, value: 128,
        vocabulary: 4096, shards: 2)

    /// 85 hundredths of the bytes are routed experts, of which a token chooses few: to measure with less memory than weights.
    static let stream = Geometry(
        name: "stream", hidden: 2048, layers: 12, denseLayers: 1, denseWidth: 1024, experts: 64, expertsPerToken: 8,
        expertWidth: 1024, sharedExperts: 1, heads: 16, queryRank: 512, latent: 512, nope: 128, rope: 64, value: 128,
        vocabulary: 4096, shards: 4)

    /// Kimi K2.5's vision tower, and a text model of its width that does little: to measure pictures with.
    static let vision = Geometry(
        name: "vision", hidden: 7168, layers: 2, denseLayers: 1, denseWidth: 256, experts: 8, expertsPerToken: 2,
        expertWidth: 64, sharedExperts: 1, heads: 4, queryRank: 96, latent: 64, nope: 32, rope: 16, value: 32,
        vocabulary: 1792, shards: 2, hasTower: true, tower: .published)

    /// Two layers of Kimi K2.5 at their own size, with fewer experts and a small vocabulary.
    static let k25Slice = k25.with(name: "k25-slice", layers: 2, experts: 64, vocabulary: 4096, shards: 4)

    /// Kimi K2.5's text model in full: 595 GB.
    static let k25 = Geometry(
        name: "k25", hidden: 7168, layers: 61, denseLayers: 1, denseWidth: 18_432, experts: 384, expertsPerToken: 8,
        expertWidth: 2048, sharedExperts: 1, heads: 64, queryRank: 1536, latent: 512, nope: 128, rope: 64, value: 128,
        vocabulary: 163_840, shards: 64, tower: .published)

    private func with(name: String, layers: Int, experts: Int, vocabulary: Int, shards: Int) -> Geometry {
        Geometry(
            name: name, hidden: hidden, layers: layers, denseLayers: denseLayers, denseWidth: denseWidth, experts: experts,
            expertsPerToken: expertsPerToken, expertWidth: expertWidth, sharedExperts: sharedExperts, heads: heads,
            queryRank: queryRank, latent: latent, nope: nope, rope: rope, value: value, vocabulary: vocabulary,
            shards: shards, tower: tower)
    }
}
