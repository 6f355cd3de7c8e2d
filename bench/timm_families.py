"""The smallest network of each module of timm 1.0.28, but for those that are there for timm's own tests."""

SMALLEST = (
    *("beit_base_patch16_224", "halonet26t", "repvgg_a0", "cait_xxs24_224", "coat_lite_tiny", "convit_tiny"),
    *("convmixer_768_32", "convnext_atto", "cpubone_nano", "crossvit_tiny_240", "csatv2", "cs3darknet_focus_s"),
    *("cspnext_tiny", "davit_tiny", "deepseek_vit_412m", "deit_tiny_distilled_patch16_224", "densenet121", "dla46x_c"),
    *("dpn48b", "edgenext_xx_small", "efficientformer_l1", "efficientformerv2_s0", "tinynet_e", "efficientvim_m1"),
    *("efficientvit_b0", "efficientvit_m0", "eva02_tiny_patch14_224", "fasternet_t0", "fastvit_t8"),
    *("focalnet_tiny_srf", "gcvit_xxtiny", "gemma4_vit_167m", "ghostnet_050", "hardcorenas_a", "hgnetv2_b0"),
    *("hiera_tiny_224", "hieradet_small", "hrnet_w18_small", "iformer_t", "inception_next_atto"),
    *("inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2_small", "levit_128s", "lowformer_b0"),
    *("mambaout_femto", "coatnet_nano_rw_224", "poolformer_s12", "gmlp_ti16_224", "lcnet_035", "mobilenetv5_300m"),
    *("mobilevit_xxs", "mvitv2_tiny", "naflexvit_base_patch16_gap", "nasnetalarge", "nest_tiny", "nextvit_small"),
    *("nfnet_l0", "pit_ti_224", "pnasnet5large", "pvt_v2_b0", "qwen3_vit_88m", "rdnet_tiny", "regnetx_002"),
    *("repghostnet_050", "repvit_m0_9", "res2net50_48w_2s", "resnest14d", "resnet10t", "resnetv2_18"),
    *("rexnetr_100", "selecsls42b", "legacy_seresnet18", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050"),
    *("swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "swinv2_tiny_window8_256"),
    *("tiny_vit_5m_224", "tnt_s_patch16_224", "tresnet_m", "twins_svt_small", "vgg11", "visformer_tiny"),
    *("vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224", "vit_relpos_small_patch16_224", "samvit_base_patch16"),
    *("vitamin_small_224", "volo_d1_224", "ese_vovnet19b_slim_dw", "legacy_xception", "xception41"),
    "xcit_nano_12_p16_224",
)
LARGE = ("deepseek_vit_412m", "gemma4_vit_167m", "qwen3_vit_88m", "beit_base_patch16_224")
FEWER = {name: {"depth": 2} for name in LARGE}
"""What is left out of networks that are large even so: most of their layers, which are all alike."""
