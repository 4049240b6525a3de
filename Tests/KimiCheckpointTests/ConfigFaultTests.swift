import Foundation
import KimiCheckpoint
import KimiCore
import KimiTestSupport
import Testing

/// Configurations that make no sense, or ask for what this library does not have.
@Suite struct ConfigFaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let field: String
        let value: String
        let status: Status
        let words: [String]
        var testDescription: String { "\(field) = \(value)" }

        /// - Parameter value: the field's new value as JSON; "" takes the field away.
        init(_ field: String, _ value: String, _ status: Status, _ words: String...) {
            self.field = field
            self.value = value
            self.status = status
            self.words = words
        }
    }

    /// Integers of the text model that must be there and positive.
    static let sizes = [
        "hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings", "num_attention_heads", "kv_lora_rank",
        "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "intermediate_size", "moe_intermediate_size", "n_routed_experts",
        "num_experts_per_tok",
    ]
    static let numbers = ["rms_norm_eps", "routed_scaling_factor", "rope_theta"]

    static let badIntegers = [
        "0", "-1", "1000000000", "9223372036854775807", "-9223372036854775808", "1e30", "2.5", "\"8\"", "true", "[1]", "{}",
    ]
    static let badNumbers = ["0", "-1.0", "1e300", "-1e300", "\"NaN\"", "false", "[0.5]"]

    static let cases: [Case] =
        sizes.flatMap { field in badIntegers.map { Case(field, $0, .format, "must be here") } }
        + numbers.flatMap { field in badNumbers.map { Case(field, $0, .format, "must be here") } }
        + (sizes + numbers + ["first_k_dense_replace", "norm_topk_prob"]).flatMap {
            [Case($0, "", .format, "missing"), Case($0, "null", .format, "missing")]
        }
        + [
            Case("first_k_dense_replace", "-1", .format, "from 0 to 3"),
            Case("first_k_dense_replace", "4", .format, "from 0 to 3"),
            Case("num_experts_per_tok", "5", .format, "from 1 to 4"),
            Case("qk_rope_head_dim", "7", .format, "even"),
            Case("q_lora_rank", "0", .format, "must be here"),
            Case("q_lora_rank", "\"x\"", .format, "must be here"),
            Case("moe_layer_freq", "0", .format, "must be here"),
            Case("moe_layer_freq", "[0,1,1]", .format, "an array"),
            Case("n_shared_experts", "-1", .format, "must be here"),
            Case("n_shared_experts", "1000000000", .format, "must be here"),
            Case("n_group", "0", .format, "from 1 to 4"),
            Case("n_group", "3", .format, "do not divide"),
            Case("n_group", "4", .format, "groups of one expert"),
            Case("topk_group", "2", .format, "from 1 to 1"),
            Case("num_nextn_predict_layers", "-1", .format, "must be here"),
            Case("norm_topk_prob", "1", .format, "true or false"),
            Case("tie_word_embeddings", "\"no\"", .format, "true or false"),
            Case("eos_token_id", "64", .format, "from 0 to 63"),
            Case("eos_token_id", "[1,-1]", .format, "-1"),
            Case("eos_token_id", "\"</s>\"", .format, "</s>"),
            Case("bos_token_id", "163584", .format, "163584"),
            Case("num_key_value_heads", "1", .unsupported, "1 with 2"),
            Case("hidden_act", "\"gelu\"", .unsupported, "gelu", "silu"),
            Case("hidden_act", "5", .format, "a string"),
            Case("scoring_func", "\"softmax\"", .unsupported, "softmax", "sigmoid"),
            Case("topk_method", "\"group_limited_greedy\"", .unsupported, "group_limited_greedy", "noaux_tc"),
            Case("attention_bias", "true", .unsupported, "true is not supported"),
            Case("rope_interleave", "false", .unsupported, "false is not supported"),
            Case("linear_attn_config", "{\"kda_layers\":[1]}", .unsupported, "another attention"),
            Case("index_topk", "2048", .unsupported, "2048"),
            Case("architectures", "\"X\"", .format, "list of strings"),
            Case("model_type", "\"kimi_linear\"", .unsupported, "kimi_linear", "kimi_k2"),
            Case("rope_scaling", "[]", .format, "an object must be"),
            Case("rope_scaling", "\"yarn\"", .format, "an object must be"),
        ]

    /// One field of the text model changed, in a nested and in a text-only configuration.
    @Test(arguments: cases, ["kimi_k25", "deepseek_v3"])
    func field(_ test: Case, _ modelType: String) throws {
        var tiny = TinyCheckpoint()
        tiny.modelType = modelType
        let folder = try TemporaryFolder()
        let marker = "\"@VALUE@\""
        try tiny.write(to: folder) { config in
            var text = modelType == "kimi_k25" ? config["text_config"] as? [String: Any] ?? [:] : config
            text[test.field] = test.value.isEmpty ? nil : "@VALUE@"
            if modelType == "kimi_k25" { config["text_config"] = text } else { config = text }
        }
        if !test.value.isEmpty { try folder.edit("config.json", marker, test.value) }
        var expected = Expected(
            test.status, file: "config.json", subject: modelType == "kimi_k25" ? "text_config.\(test.field)" : test.field)
        expected.words = test.words
        expected.check { _ = try Checkpoint(folder: folder.path) }
    }

    static let ropeCases = [
        Case("type", "\"linear\"", .unsupported, "linear", "yarn"),
        Case("type", "\"longrope\"", .unsupported, "longrope"),
        Case("type", "", .format, "missing"),
        Case("type", "3", .format, "a string"),
        Case("rope_type", "\"default\"", .format, "type says"),
        Case("factor", "", .format, "missing"),
        Case("factor", "0", .format, "must be here"),
        Case("factor", "-64", .format, "must be here"),
        Case("factor", "0.5", .format, "must be here"),
        Case("factor", "1e20", .format, "must be here"),
        Case("factor", "\"NaN\"", .format, "must be here"),
        Case("factor", "NaN", .format, "not valid JSON"),
        Case("factor", "Infinity", .format, "not valid JSON"),
        Case("factor", "-Infinity", .format, "not valid JSON"),
        Case("factor", "1e999", .format, "out of range"),
        Case("original_max_position_embeddings", "0", .format, "must be here"),
        Case("original_max_position_embeddings", "1e99", .format, "must be here"),
        Case("beta_fast", "0", .format, "must be here"),
        Case("beta_fast", "0.5", .format, "smaller than beta_slow"),
        Case("beta_slow", "-1", .format, "must be here"),
        Case("mscale", "-1", .format, "must be here"),
        Case("mscale_all_dim", "1e9", .format, "must be here"),
        Case("truncate", "false", .unsupported, "not supported"),
        Case("attention_factor", "1.5", .unsupported, "1.5"),
    ]

    @Test(arguments: ropeCases, [false, true])
    func rope(_ test: Case, inParameters: Bool) throws {
        if inParameters && test.testDescription == "rope_type = \"default\"" { return }
        var tiny = TinyCheckpoint()
        tiny.ropeParameters = inParameters
        let key = inParameters ? "rope_parameters" : "rope_scaling"
        let field = inParameters && test.field == "type" ? "rope_type" : test.field
        let folder = try TemporaryFolder()
        try tiny.write(to: folder) { config in
            var text = config["text_config"] as? [String: Any] ?? [:]
            var rope = text[key] as? [String: Any] ?? [:]
            rope[field] = test.value.isEmpty ? nil : "@VALUE@"
            text[key] = rope
            config["text_config"] = text
        }
        if !test.value.isEmpty { try folder.edit("config.json", "\"@VALUE@\"", test.value) }
        // Where the text is no JSON, the last field before the fault is named, without its path.
        let isJSON = !["not valid JSON", "out of range"].contains(test.words.first)
        let missingType = field == "type" ? "rope_type" : field
        let name = test.value.isEmpty ? missingType : field
        var expected = Expected(test.status, file: "config.json", subject: isJSON ? "text_config.\(key).\(name)" : field)
        expected.words = test.words
        expected.check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func ropeSaidTwiceMustAgree() throws {
        let folder = try TemporaryFolder()
        func write(_ change: (inout [String: Any]) -> Void) throws {
            try TinyCheckpoint().write(to: folder) { config in
                var text = config["text_config"] as? [String: Any] ?? [:]
                var rope = text["rope_scaling"] as? [String: Any] ?? [:]
                rope["rope_theta"] = 50000.0
                change(&rope)
                text["rope_parameters"] = rope
                config["text_config"] = text
            }
        }
        try write { _ in }
        #expect(try Checkpoint(folder: folder.path).config.yarn?.factor == 4)
        try write { $0["factor"] = 8.0 }
        Expected(.format, file: "config.json", subject: "text_config.rope_parameters", "otherwise than rope_scaling").check {
            _ = try Checkpoint(folder: folder.path)
        }
        try write { $0["rope_theta"] = 10000.0 }
        Expected(.format, file: "config.json", subject: "text_config.rope_parameters.rope_theta", "50000").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    static let quantizationCases = [
        Case("group_size", "64", .unsupported, "64", "group size 32"),
        Case("group_size", "0", .unsupported, "0", "group size 32"),
        Case("group_size", "null", .format, "missing"),
        Case("group_size", "\"32\"", .format, "string"),
        Case("num_bits", "8", .unsupported, "8", "INT4"),
        Case("symmetric", "false", .unsupported, "false is not supported"),
        Case("type", "\"float\"", .unsupported, "float", "int"),
        Case("strategy", "\"channel\"", .unsupported, "channel", "group"),
        Case("dynamic", "true", .unsupported, "true"),
        Case("actorder", "\"group\"", .unsupported, "group"),
    ]

    /// Weights quantised in another way, said at the top and inside text_config.
    @Test(arguments: quantizationCases, [false, true])
    func quantization(_ test: Case, inside: Bool) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder) { config in
            if inside {
                var text = config["text_config"] as? [String: Any] ?? [:]
                text["quantization_config"] = config.removeValue(forKey: "quantization_config")
                config["text_config"] = text
            }
        }
        let text = String(decoding: try folder.bytes("config.json"), as: UTF8.self)
        let weights = try #require(text.range(of: "\"weights\""))
        let member = try #require(text[weights.upperBound...].range(of: "\"\(test.field)\" : [^,\n}]*", options: .regularExpression))
        try folder.write("config.json", text.replacingCharacters(in: member, with: "\"\(test.field)\" : \(test.value)"))
        let path = "quantization_config.config_groups.group_0.weights.\(test.field)"
        var expected = Expected(test.status, file: "config.json", subject: inside ? "text_config." + path : path)
        expected.words = test.words
        expected.check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test(arguments: [
        (#"{"quant_method":"fp8","fmt":"e4m3","weight_block_size":[128,128]}"#, Status.unsupported, "quant_method", "fp8"),
        (#"{"bits":4}"#, .format, "quant_method", "missing"),
        (#"{"quant_method":"compressed-tensors"}"#, .format, "config_groups", "missing"),
        (#"{"quant_method":"compressed-tensors","format":"float-quantized","config_groups":{"group_0":{"weights":{}}}}"#, .unsupported, "format", "float-quantized"),
        (#"{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"input_activations":{"num_bits":8}}}}"#, .unsupported, "config_groups.g.input_activations", "activations"),
        (#"{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{}}}"#, .format, "config_groups.g.weights", "missing"),
        (#"{"quant_method":"compressed-tensors","transform_config":{"R1":{}}}"#, .unsupported, "transform_config", "transformed"),
        (#"{"quant_method":"compressed-tensors","sparsity_config":{"format":"sparse-24-bitmask"}}"#, .unsupported, "sparsity_config.format", "sparse-24"),
        (#"[]"#, .format, "", "an object must be"),
    ])
    func quantizationMethod(_ json: String, _ status: Status, _ field: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder) { $0["quantization_config"] = "@VALUE@" }
        try folder.edit("config.json", "\"@VALUE@\"", json)
        let subject = field.isEmpty ? "quantization_config" : "quantization_config." + field
        Expected(status, file: "config.json", subject: subject, words).check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test(arguments: ["llama", "kimi_k3", "kimi_vl", "deepseek_v2", "deepseek_v32", "qwen3_moe", ""])
    func otherFamilies(_ type: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder) { $0["model_type"] = type }
        Expected(.unsupported, file: "config.json", subject: "model_type", "\"\(type)\"", "kimi_k25", "deepseek_v3").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test(arguments: [
        ("", "expected a value"), ("{", "expected a string"), ("[]", "an array where an object"), ("nul", "expected a value"),
        (#"{"model_type":"kimi_k2","model_type":"kimi_k2"}"#, "stands twice"), (#"{"a":1}"#, "missing"),
        (#"{"model_type":5}"#, "a string"), (#"{"model_type":"kimi_k25"}"#, "missing"),
        (#"{"model_type":"kimi_k25","text_config":[]}"#, "an array"), ("{\"a\":\"\u{1}\"}", "control character"),
        (String(repeating: "{\"a\":", count: 1000), "too deep"), (String(repeating: "[", count: 1_000_000), "too deep"),
        ("\u{FEFF}{}", "expected a value"), (#"{"a":NaN}"#, "found 'N'"),
    ])
    func text(_ text: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.write("config.json", text)
        Expected(.format, file: "config.json", words).check { _ = try Checkpoint(folder: folder.path) }
    }

    @Test func textThatIsNotUTF8() throws {
        let folder = try TemporaryFolder()
        try TinyCheckpoint().write(to: folder)
        try folder.write("config.json", Array("{\"model_type\":\"kimi".utf8) + [0xFF] + Array("\"}".utf8))
        Expected(.format, file: "config.json", subject: "model_type", "not UTF-8").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test(arguments: [
        (#"{"eos_token_id":1792}"#, "eos_token_id", "from 0 to 1791"), (#"{"eos_token_id":[1,true]}"#, "eos_token_id", "true"),
        (#"{"eos_token_id":}"#, "eos_token_id", "expected a value"),
    ])
    func generationConfiguration(_ text: String, _ field: String, _ words: String) throws {
        let folder = try TemporaryFolder.fixture()
        try folder.write("generation_config.json", text)
        Expected(.format, file: "generation_config.json", subject: field, words).check {
            _ = try Checkpoint(folder: folder.path)
        }
    }

    @Test func groupsMustHoldEnoughExperts() throws {
        var tiny = TinyCheckpoint()
        tiny.experts = 8
        tiny.expertsPerToken = 3
        tiny.groups = 4
        let folder = try TemporaryFolder()
        try tiny.write(to: folder)
        Expected(.format, file: "config.json", subject: "text_config.topk_group", "fewer than the 3 experts").check {
            _ = try Checkpoint(folder: folder.path)
        }
    }
}
