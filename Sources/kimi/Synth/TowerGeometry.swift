/// The sizes of a vision tower to be made up, and the members of `config.json` and `preprocessor_config.json` that say them.
struct TowerGeometry {
    let hidden: Int
    let layers: Int
    let heads: Int
    let intermediate: Int
    /// Rows, and columns, of the learned grid of positions.
    let positions: Int

    static let patch = 14
    static let merge = 2
    static let frames = 4

    /// Numbers of a patch: three colours of each pixel.
    static let patchElements = 3 * patch * patch
    /// What the projector reads.
    var merged: Int { hidden * Self.merge * Self.merge }

    /// That of the test fixture.
    static let small = TowerGeometry(hidden: 96, layers: 3, heads: 4, intermediate: 160, positions: 16)
    /// Kimi K2.5's.
    static let published = TowerGeometry(hidden: 1152, layers: 27, heads: 16, intermediate: 4304, positions: 64)

    /// The members of `vision_config`, indented by four spaces.
    func config(textHidden: Int) -> String {
        """
            "patch_size": \(Self.patch),
            "init_pos_emb_height": \(positions),
            "init_pos_emb_width": \(positions),
            "init_pos_emb_time": \(Self.frames),
            "pos_emb_type": "divided_fixed",
            "vt_num_attention_heads": \(heads),
            "vt_num_hidden_layers": \(layers),
            "vt_hidden_size": \(hidden),
            "vt_intermediate_size": \(intermediate),
            "merge_kernel_size": [\(Self.merge), \(Self.merge)],
            "video_attn_type": "spatial_temporal",
            "merge_type": "sd2_tpool",
            "mm_projector_type": "patchmerger",
            "mm_hidden_size": \(hidden),
            "projector_hidden_act": "gelu",
            "projector_ln_eps": 1e-05,
            "text_hidden_size": \(textHidden)
        """
    }

    /// The text of `preprocessor_config.json`: the published limits.
    static let preprocessor = """
        {
          "media_proc_cfg": {
            "in_patch_limit": 16384,
            "patch_size": \(patch),
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
            "merge_kernel_size": \(merge),
            "fixed_output_tokens": null,
            "patch_limit_on_one_side": 512,
            "in_patch_limit_each_frame": 4096,
            "in_patch_limit_video": null,
            "sample_fps": 2.0,
            "max_num_frames_each_video": null,
            "temporal_merge_kernel_size": \(frames),
            "timestamp_mode": "hh:mm:ss.fff",
            "config_type": "media_proc.processors.moonvit.MoonViTMediaProcessorConfig"
          }
        }

        """
}
