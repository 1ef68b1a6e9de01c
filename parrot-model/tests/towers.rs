//! Every family of vision towers against transformers, on random weights: from the picture's file through the family's
//! image processor to all hidden states. `reference/towers.py` made the folders of `golden-towers`.

use std::path::{Path, PathBuf};

use burn::prelude::*;
use burn::tensor::FloatDType;
use parrot_model::checkpoint::{StoredTensor, Weights, load_vision_tower};
use parrot_model::config::{ParrotConfig, SelectFeature, TowerKind, VisionConfig};
use parrot_model::image::{AspectRatio, DecodeOptions, ImageProcessorConfig, Pixels, Resample, open_rgb};
use parrot_model::vision::VisionTower;

/// All layers of a tower run here; Parrot itself never needs SigLIP's last.
const LAYERS: usize = 3;

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-towers").join(family)
}

fn config(family: &str) -> VisionConfig {
    VisionConfig::from_file(folder(family).join("config.json")).unwrap()
}

fn processor(family: &str) -> ImageProcessorConfig {
    ImageProcessorConfig::from_file(folder(family).join("preprocessor_config.json")).unwrap()
}

fn expected(family: &str) -> Weights {
    Weights::from_file(folder(family).join("expected.safetensors")).unwrap()
}

fn floats(stored: StoredTensor<'_>) -> Vec<f32> {
    stored.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    // A comparison with NaN is false, so it is turned round.
    assert!(found.iter().all(|value| value.is_finite()));
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

fn pixels(family: &str) -> Vec<Pixels> {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-pre");
    let preprocess = |name| {
        let image = open_rgb(&images.join(name), &DecodeOptions::default()).unwrap();
        processor(family).preprocess(&image, AspectRatio::None)
    };
    ["wide.png", "tall.png"].map(preprocess).into()
}

fn check(family: &str, kind: TowerKind) {
    let (config, expected, device) = (config(family), expected(family), Device::default());
    assert_eq!((config.kind, config.num_hidden_layers), (kind, LAYERS));

    let pixels = pixels(family);
    let found: Vec<f32> = pixels.iter().flat_map(|pixels| pixels.data.iter().copied()).collect();
    let difference = largest_difference(&found, &floats(expected.get("pixel_values").unwrap()));
    assert!(difference < 1e-6, "{family}: pixels differ by {difference}");

    // A Parrot leaves SigLIP's last layer out: one more, which is not there, keeps it.
    let num_hidden_layers = LAYERS + config.num_hidden_layers - config.stored_layers();
    let config = VisionConfig { num_hidden_layers, ..config };
    let tower = VisionTower::init(&ParrotConfig::parrot_mini(), &config, &device).unwrap();
    let weights = Weights::from_folder(folder(family)).unwrap();
    let tower = load_vision_tower(tower, &weights, FloatDType::F32).unwrap();
    let hidden_states = tower.hidden_states(Pixels::to_tensor(&pixels, &device));
    assert_eq!(hidden_states.len(), LAYERS + 1);
    for (index, hidden_state) in hidden_states.into_iter().enumerate() {
        let stored = expected.get(&format!("hidden_states.{index}")).unwrap();
        assert_eq!(hidden_state.dims().as_slice(), stored.shape);
        let found: Vec<f32> = hidden_state.into_data().try_to_vec().unwrap();
        let difference = largest_difference(&found, &floats(stored));
        assert!(difference < 1e-5, "{family}: hidden state {index} differs by {difference}");
    }
}

#[test]
fn clip_alone() {
    check("clip", TowerKind::Clip);
}

#[test]
fn chinese_clip_inside_the_whole_model() {
    check("chinese_clip", TowerKind::ChineseClip);
    assert_eq!(processor("chinese_clip"), ImageProcessorConfig::for_tower(&config("chinese_clip")));
}

#[test]
fn siglip_alone_with_a_rim_outside_the_patches() {
    check("siglip", TowerKind::Siglip);
    assert_eq!(processor("siglip"), ImageProcessorConfig::for_tower(&config("siglip")));
}

#[test]
fn siglip2_inside_the_whole_model() {
    check("siglip2", TowerKind::Siglip);
    assert_eq!(processor("siglip2").resample, Resample::Bilinear);
}

/// What a Parrot takes from each tower.
#[test]
fn a_tower_returns_as_many_tokens_as_its_configuration_says() {
    for family in ["clip", "chinese_clip", "siglip", "siglip2"] {
        for mm_vision_select_feature in [SelectFeature::Patch, SelectFeature::ClsPatch] {
            let (vision, device) = (config(family), Device::default());
            let config = ParrotConfig { mm_vision_select_feature, ..ParrotConfig::parrot_mini() };
            let tower = VisionTower::init(&config, &vision, &device).unwrap();
            let features = tower.forward(Pixels::to_tensor(&pixels(family), &device));
            let tokens = vision.tokens_per_image(mm_vision_select_feature);
            assert_eq!(features.dims(), [2, tokens, 16], "{family}");
            assert_eq!(tower.tokens_per_image(), tokens);
        }
    }
}

#[test]
#[should_panic(expected = "= [2, 3, 24, 24], found [2, 3, 27, 27]")]
fn pixels_of_another_size_are_refused() {
    let device = Device::default();
    let tower = VisionTower::init(&ParrotConfig::parrot_mini(), &config("clip"), &device).unwrap();
    let _ = tower.forward(Pixels::to_tensor(&pixels("siglip"), &device));
}
