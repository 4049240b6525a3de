// swift-tools-version: 6.1
import PackageDescription

// The rooms of the house, lower ones first. Doors open downwards only: a target may depend on targets above it in this
// list, never on one below (PackageTests reads `swift package describe` and fails on an upward edge).

/// Kernels are useless without optimisation, in debug builds too; contraction is off because the scalar twin is the
/// specification bit for bit, and a compiler that fuses on its own would change it.
let kernelSettings: [CSetting] = [
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"]),
]

/// A self-contained library: the Swift runtime linked in, only `kimi_*` exported, what nobody calls dropped.
let librarySettings: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib", "-use-ld=lld",
        // Without debug information: valgrind cannot read this compiler's, and gives up.
        "-Xlinker", "--strip-debug",
        "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/KimiABI/kimi.map",
        "-Xlinker", "--gc-sections",
        "-Xlinker", "-soname", "-Xlinker", "libkimi.so.1",
    ]),
]

let package = Package(
    name: "libkimi",
    products: [
        .library(name: "kimi", type: .dynamic, targets: ["KimiABI"]),
        // A product may not share the library's name; `make` installs this one as `kimi`.
        .executable(name: "kimi-cli", targets: ["kimi"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        // C: system libraries, shims and kernels.
        .systemLibrary(name: "CKimi", path: "Include"),
        .systemLibrary(name: "CHwloc", pkgConfig: "hwloc", providers: [.apt(["libhwloc-dev"])]),
        // libedit (BSD licence) edits the lines of `kimi chat`; GNU readline would put the program under the GPL.
        .systemLibrary(name: "CLineEditing"),
        .target(name: "CSentencePiece", linkerSettings: [.linkedLibrary("sentencepiece")]),
        // liburing is linked in: hosts need not have it.
        .target(
            name: "CKimiSystem", cSettings: [.unsafeFlags(["-O2", "-Wall", "-Wextra"])],
            linkerSettings: [.unsafeFlags(["-Xlinker", "-l:liburing.a"])]),
        // Pictures and clips, by the libraries of the system, whose security updates then reach them.
        .target(
            name: "CKimiMedia", cSettings: [.unsafeFlags(["-O2", "-Wall", "-Wextra"])],
            linkerSettings: [
                .linkedLibrary("png16"), .linkedLibrary("jpeg"), .linkedLibrary("webp"), .linkedLibrary("webpdemux"), .linkedLibrary("gif"),
                .linkedLibrary("md"),
            ]),
        .target(name: "CKimiKernels", cSettings: kernelSettings),

        // Swift, from values up to the door.
        .target(name: "KimiCore", dependencies: ["CKimiSystem"]),
        .target(name: "KimiCheckpoint", dependencies: ["KimiCore", "CKimiSystem"]),
        .target(name: "KimiTopology", dependencies: ["KimiCore", "CHwloc", "CKimiSystem"]),
        .target(name: "KimiTokenizer", dependencies: ["KimiCore", "CSentencePiece"]),
        .target(name: "KimiChat", dependencies: ["KimiCore", "KimiTokenizer"], exclude: ["EVENTS.md"]),
        .target(
            name: "KimiModel",
            dependencies: ["KimiCore", "KimiCheckpoint", "KimiTopology", "CKimiKernels", "CKimiSystem"]),
        .target(
            name: "KimiVision",
            dependencies: ["KimiCore", "KimiCheckpoint", "KimiTopology", "KimiModel", "CKimiKernels", "CKimiMedia", "CKimiSystem"]),
        .target(
            name: "KimiRuntime",
            dependencies: [
                "KimiCore", "KimiCheckpoint", "KimiTopology", "KimiTokenizer", "KimiModel", "KimiVision", "CKimiKernels",
                "CKimiSystem",
            ]),
        .target(
            name: "KimiAgent",
            dependencies: [
                "KimiCore", "KimiCheckpoint", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime", "CKimiSystem",
            ]),
        .target(
            name: "KimiBench",
            dependencies: [
                "KimiCore", "KimiTopology", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime", "KimiAgent",
                "CKimiKernels",
            ]),
        .target(
            name: "KimiABI",
            dependencies: ["CKimi", "KimiCore", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime", "KimiAgent"],
            exclude: ["kimi.map"], linkerSettings: librarySettings),
        .executableTarget(
            name: "kimi",
            dependencies: [
                "KimiCore", "KimiCheckpoint", "KimiTopology", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime",
                "KimiBench", "KimiAgent", "CLineEditing",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            // The program too runs where no Swift is installed. FoundationEssentials forgets to name two of its own parts.
            swiftSettings: [.unsafeFlags(["-static-stdlib"])],
            linkerSettings: [
                .unsafeFlags([
                    "-static-stdlib", "-use-ld=lld", "-l_FoundationCollections", "-l_FoundationCShims", "-Xlinker", "-s",
                ])
            ]),

        // Tests, one target a room. Each names all rooms that it imports: it is not built anew when one changes that it does not name.
        .target(name: "KimiTestSupport", dependencies: ["KimiCore", "CSanitizedMutex"], path: "Tests/KimiTestSupport"),
        // Replaces the allocator of whatever links it: for the tests' own executable only.
        .target(name: "CMallocCount", path: "Tests/CMallocCount"),
        // A lock that ThreadSanitizer sees (make races); nothing in other builds.
        .target(name: "CSanitizedMutex", path: "Tests/CSanitizedMutex"),
        .testTarget(name: "KimiCoreTests", dependencies: ["KimiCore", "KimiTestSupport"]),
        .testTarget(name: "KimiCheckpointTests", dependencies: ["CKimiSystem", "KimiCore", "KimiCheckpoint", "KimiTestSupport"]),
        .testTarget(name: "KimiTopologyTests", dependencies: ["KimiCore", "KimiTopology", "KimiTestSupport"]),
        .testTarget(name: "KimiTokenizerTests", dependencies: ["KimiCore", "KimiTokenizer", "KimiTestSupport"]),
        .testTarget(name: "KimiChatTests", dependencies: ["KimiCore", "KimiTokenizer", "KimiChat", "KimiTestSupport"]),
        .testTarget(name: "CKimiKernelsTests", dependencies: ["CKimiKernels", "KimiTestSupport"]),
        .testTarget(
            name: "KimiModelTests",
            dependencies: [
                "KimiCore", "KimiCheckpoint", "KimiTopology", "KimiModel", "CKimiKernels", "CKimiSystem", "CMallocCount",
                "KimiTestSupport",
            ]),
        .testTarget(
            name: "KimiVisionTests",
            dependencies: [
                "KimiCore", "KimiCheckpoint", "KimiTopology", "KimiModel", "KimiVision", "CKimiKernels", "CKimiMedia", "CKimiSystem",
                "KimiTestSupport",
            ]),
        .testTarget(
            name: "KimiRuntimeTests",
            dependencies: ["KimiCore", "KimiTokenizer", "KimiModel", "KimiVision", "KimiRuntime", "CKimiSystem", "KimiTestSupport"]),
        .testTarget(
            name: "KimiAgentTests",
            dependencies: ["KimiCore", "KimiAgent", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime", "CKimiSystem", "KimiTestSupport"]),
        .testTarget(
            name: "KimiBenchTests",
            dependencies: [
                "KimiBench", "KimiCore", "KimiCheckpoint", "KimiTopology", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision",
                "KimiRuntime", "KimiAgent", "CKimiKernels", "KimiTestSupport",
            ]),
        .testTarget(name: "PackageTests", dependencies: ["KimiTestSupport"]),
        .executableTarget(
            name: "KimiFuzz",
            dependencies: [
                "CKimiSystem", "KimiCore", "KimiCheckpoint", "KimiTokenizer", "KimiChat", "KimiModel", "KimiVision", "KimiRuntime",
                "KimiTestSupport",
            ],
            path: "Tests/KimiFuzz"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11,
    cxxLanguageStandard: .cxx17
)
