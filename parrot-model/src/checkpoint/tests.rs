//! What is saved is loaded, and what cannot be is refused.

use burn::tensor::FloatDType;

use super::testing::{Tiny, contents, edit};
use super::*;

fn saved(tiny: &Tiny) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny.save(folder.path());
    folder
}

fn load(folder: &Path) -> Result<ParrotModel> {
    Checkpoint::open(folder)?.load(FloatDType::F32, &Device::default())
}

fn load_error(folder: &Path) -> String {
    load(folder).unwrap_err().to_string()
}

#[test]
fn load_save_load_changes_no_bit() {
    for (tiny, max_shard_bytes) in [(Tiny::clip(), u64::MAX), (Tiny::siglip(), 3000)] {
        for dtype in [FloatDType::F32, FloatDType::F16, FloatDType::BF16] {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let options = SaveOptions { dtype: Some(dtype), max_shard_bytes, ..SaveOptions::default() };
            tiny.save_with(folders[0].path(), &options).unwrap();
            let checkpoint = Checkpoint::open(folders[0].path()).unwrap();
            let model = checkpoint.load(dtype, &Device::default()).unwrap();
            // Of f32 weights nothing has to be said; others stand beside norms in f32.
            let dtype = options.dtype.filter(|dtype| *dtype != FloatDType::F32);
            let options = SaveOptions { dtype, ..options };
            let Description { config, vision, .. } = &checkpoint.description;
            save(&model, config, vision, folders[1].path(), &options).unwrap();
            assert_eq!(contents(folders[0].path()), contents(folders[1].path()));
            assert_eq!(Checkpoint::open(folders[1].path()).unwrap().description.config, *config);
        }
    }
}

#[cfg(not(windows))]
#[test]
fn weights_that_are_stored_as_wanted_stay_in_their_file() {
    let tiny = Tiny::clip();
    let folder = saved(&tiny);
    let in_place = |dtype: FloatDType| {
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let stored = checkpoint.model_weights().find(model_weights::LM_HEAD).unwrap();
        let data = cast::cast(stored, dtype).unwrap();
        (
            data.as_bytes().as_ptr() == stored.bytes.as_ptr(),
            checkpoint.load(dtype, &Device::default()).unwrap(),
        )
    };
    assert!(!in_place(FloatDType::BF16).0);
    let (is_in_place, model) = in_place(FloatDType::F32);
    assert!(is_in_place);
    // Another model takes its folder's place.
    Tiny::clip().save(folder.path());
    let head = |model: &ParrotModel| {
        model.language_model.logits(Tensor::<3>::ones([1, 1, 16], &Device::default())).into_data()
    };
    head(&model).assert_eq(&head(&tiny.model), true);
    assert!(head(&load(folder.path()).unwrap()) != head(&tiny.model));
}

#[test]
fn a_loaded_model_computes_what_the_saved_one_did() {
    let tiny = Tiny::clip();
    let folder = saved(&tiny);
    let pixels = Tensor::<4>::random([1, 3, 8, 8], Default::default(), &Device::default());
    let features =
        |model: &ParrotModel| model.encode_images(pixels.clone()).experts_output.unwrap().into_data();
    features(&load(folder.path()).unwrap()).assert_eq(&features(&tiny.model), true);
}

#[test]
fn a_model_in_blocks_computes_nearly_what_it_did_and_is_not_saved() {
    for tiny in [Tiny::clip(), Tiny::siglip()] {
        let folder = saved(&tiny);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let device = Device::default();
        let pixels = Tensor::<4>::random([1, 3, 8, 8], Default::default(), &device);
        let compute = |model: &ParrotModel| {
            let features = model.encode_images(pixels.clone()).experts_output.unwrap();
            let ids = Tensor::<1, Int>::from_data([3, 1, 2], &device);
            let embeds = model.language_model.embed(ids).unsqueeze::<3>();
            let hidden_states =
                model.language_model.forward(crate::language::DecoderInput::unpadded(embeds), None);
            [features.flatten::<1>(0, 3), model.language_model.logits(hidden_states).flatten(0, 2)]
        };
        let expected = compute(&tiny.model);
        for (format, limit) in [(BlockFormat::Q8, 0.05), (BlockFormat::Q4, 0.4)] {
            let model = checkpoint.load(format, &device).unwrap();
            for (found, expected) in compute(&model).into_iter().zip(expected.clone()) {
                let error = (found - expected.clone()).abs().max() / expected.abs().max();
                let error = error.into_scalar::<f32>();
                assert!(error < limit, "{format:?}: {error}");
            }
            for dtype in [None, Some(FloatDType::F32)] {
                let out = tempfile::tempdir().unwrap();
                let options = SaveOptions { dtype, ..SaveOptions::default() };
                let saved = save(
                    &model,
                    &checkpoint.description.config,
                    &checkpoint.description.vision,
                    out.path().join("out"),
                    &options,
                );
                let error = saved.unwrap_err().to_string();
                assert!(error.contains(&format!("is held in {}", format.name())), "{error}");
            }
        }
    }
}

#[test]
fn one_error_lists_every_tensor_that_does_not_fit() {
    let folder = saved(&Tiny::clip());
    edit(folder.path(), |tensors| {
        tensors.retain(|(name, ..)| name != "model.norm.weight");
        for (name, _, shape, _) in tensors.iter_mut() {
            match name.as_str() {
                "lm_head.weight" => shape.reverse(),
                "model.moe_model.gate.weight" => *name = "model.moe_model.router.weight".into(),
                _ => {}
            }
        }
    });
    let error = load_error(folder.path());
    for expected in [
        "`model.norm.weight` [16] is missing",
        "`model.moe_model.gate.weight` [2, 16] is missing",
        "`model.moe_model.router.weight` is unexpected",
        "`lm_head.weight` should be [24, 16], found [16, 24]",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_long_list_of_problems_is_cut() {
    let folder = saved(&Tiny::clip());
    edit(folder.path(), |tensors| {
        for (name, ..) in tensors.iter_mut().filter(|(name, ..)| names::in_tower_folder(name).is_none()) {
            name.insert_str(0, "transformer.");
        }
    });
    let error = load_error(folder.path());
    assert!(error.contains(" more") && error.matches("; ").count() == 12, "{error}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let folder = saved(&Tiny::clip());
    edit(folder.path(), |tensors| {
        for (name, _, _, bytes) in tensors.iter_mut() {
            match name.as_str() {
                "model.norm.weight" => bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes()),
                "lm_head.weight" => bytes[..4].copy_from_slice(&1e6_f32.to_le_bytes()),
                _ => {}
            }
        }
    });
    let error = load_error(folder.path());
    assert!(error.contains("`model.norm.weight` holds NaN") && !error.contains("lm_head"), "{error}");
    let error = Checkpoint::open(folder.path()).unwrap().load(FloatDType::F16, &Device::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`lm_head.weight` holds 1000000, which F16 cannot hold"), "{error}");
    assert!(error.contains("`model.norm.weight` holds NaN"), "{error}");
}

#[test]
fn a_tied_head_may_be_stored_if_it_is_the_table() {
    let folder = saved(&Tiny::siglip());
    edit(folder.path(), |tensors| {
        let table = tensors.iter().find(|(name, ..)| name == model_weights::EMBED_TOKENS).unwrap().clone();
        tensors.push((model_weights::LM_HEAD.into(), table.1, table.2, table.3));
    });
    load(folder.path()).unwrap();
    edit(folder.path(), |tensors| {
        tensors.iter_mut().find(|(name, ..)| name == model_weights::LM_HEAD).unwrap().3[0] ^= 1;
    });
    let error = load_error(folder.path());
    assert!(error.contains("`lm_head.weight` differs from `model.embed_tokens.weight`"), "{error}");
}

#[test]
fn buffers_of_older_versions_are_ignored() {
    let folder = saved(&Tiny::clip());
    edit(folder.path(), |tensors| {
        let tower = "model.vision_tower.vision_tower.vision_model.embeddings.position_ids";
        tensors.push((tower.into(), "I64".into(), vec![1, 1], vec![0; 8]));
        let rotary = "model.layers.0.self_attn.rotary_emb.inv_freq";
        tensors.push((rotary.into(), "F32".into(), vec![2], vec![0; 8]));
    });
    load(folder.path()).unwrap();
}

/// Moves the tower's tensors into the tower's own folder, as transformers stores one.
fn move_tower(from: &Path, to: &Path, extra: &[&str]) {
    let mut moved = Vec::new();
    edit(from, |tensors| {
        tensors.retain(|(name, dtype, shape, bytes)| match names::in_tower_folder(name) {
            Some(name) => {
                moved.push((name.to_string(), dtype.clone(), shape.clone(), bytes.clone()));
                false
            }
            None => true,
        });
    });
    moved.extend(extra.iter().map(|name| (name.to_string(), "F32".into(), vec![1], vec![0; 4])));
    std::fs::write(to.join("model.safetensors"), testing::file(&moved)).unwrap();
}

#[test]
fn a_tower_may_lie_apart() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    let tiny = Tiny::siglip();
    tiny.save(&folder);
    let (inside, beside) = (folder.join("towers"), parent.path().join("towers"));
    let surplus = [
        "vision_model.encoder.layers.2.mlp.fc1.weight",
        "vision_model.head.probe",
        "text_model.embeddings.token_embedding.weight",
        "logit_scale",
    ];
    move_tower(&folder, &inside.join("siglip-test"), &surplus);
    load(&folder).unwrap();
    std::fs::rename(&inside, &beside).unwrap();
    load(&folder).unwrap();
    std::fs::remove_dir_all(&beside).unwrap();
    let error = load_error(&folder);
    assert!(error.contains("mm_vision_tower"), "{error}");
}

/// Its own config.json was said to be of another kind of model than a tower.
#[test]
fn a_model_is_not_its_own_tower() {
    let folder = saved(&Tiny::clip());
    let absolute = folder.path().display().to_string();
    for name in ["", ".", "./", "towers/..", &absolute] {
        let config = ParrotConfig { mm_vision_tower: Some(name.into()), ..Tiny::clip().config };
        let error = Checkpoint::open_with_config(folder.path(), config).unwrap_err().to_string();
        let expected = format!(
            "`mm_vision_tower` should be the vision tower's folder or id, not the model's own folder, found {name:?}"
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_well_known_tower_needs_no_folder_but_its_weights() {
    let folder = saved(&Tiny::clip());
    let config = ParrotConfig {
        mm_vision_tower: Some("openai/clip-vit-large-patch14-336".into()),
        ..Tiny::clip().config
    };
    let checkpoint = Checkpoint::open_with_config(folder.path(), config).unwrap();
    assert_eq!(checkpoint.description.vision, VisionConfig::clip_vit_large_336());
    assert_eq!(checkpoint.description.image_processor, ImageProcessorConfig::clip(336));
}

#[test]
fn a_mixture_that_is_switched_off_may_be_stored() {
    let folder = saved(&Tiny::clip());
    for moe_hidden_size in [Some(16), None] {
        let config = ParrotConfig { use_moe: false, moe_hidden_size, ..Tiny::clip().config };
        let checkpoint = Checkpoint::open_with_config(folder.path(), config).unwrap();
        let model = checkpoint.load(FloatDType::F32, &Device::default()).unwrap();
        assert_eq!(model.moe_model.is_some(), moe_hidden_size.is_some());
    }
}

#[test]
fn folders_that_hold_no_parrot_are_refused() {
    let folder = saved(&Tiny::clip());
    std::fs::write(folder.path().join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    let error = load_error(folder.path());
    let expected = "`model_type` should be one of parrot_qwen2";
    assert!(error.contains(expected) && error.contains("found \"llama\""), "{error}");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(load_error(folder.path()).contains("cannot read"));
    assert!(load_error(&folder.path().join("elsewhere")).contains("no such folder"));
}

#[test]
fn a_folder_that_holds_something_else_than_a_model_says_what() {
    for (name, hint) in [
        ("adapter_config.json", "it holds an adapter"),
        ("adapter_model.safetensors", "it holds an adapter"),
        ("model-q4.gguf", "a model in a GGUF is named by that file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), "{}").unwrap();
        let decoder = DecoderDescription::is_in(folder.path()).unwrap_err().to_string();
        for error in [load_error(folder.path()), decoder] {
            assert!(error.contains(&format!("there is no config.json ({hint}")), "{name}: {error}");
        }
    }
}

/// It was said that the vision tower is missing: none of its names begins as a tower's.
#[test]
fn a_wrapped_models_prefix_is_named_before_its_tower_is_looked_for() {
    for prefix in ["module.", "_orig_mod.", "base_model.model."] {
        let folder = saved(&Tiny::clip());
        edit(folder.path(), |tensors| {
            for (name, ..) in tensors {
                *name = format!("{prefix}{name}");
            }
        });
        let tower = folder.path().join(Tiny::clip().config.mm_vision_tower.unwrap());
        let _ = std::fs::remove_file(tower.join("model.safetensors"));
        let error = load_error(folder.path());
        assert!(error.contains(&format!("its names begin with `{prefix}`")), "{error}");
    }
}

#[test]
fn an_image_processor_that_does_not_count_is_told() {
    let folder = saved(&Tiny::clip());
    let notice = || Description::open(folder.path()).unwrap().unread_processor;
    let own = folder.path().join("preprocessor_config.json");
    assert_eq!(notice(), None);
    let tower = Checkpoint::open(folder.path()).unwrap().description.image_processor;
    std::fs::write(&own, serde_json::to_string(&tower).unwrap()).unwrap();
    assert_eq!(notice(), None, "both say the same");
    let other = ImageProcessorConfig { image_mean: [0.25; 3], ..tower.clone() };
    std::fs::write(&own, serde_json::to_string(&other).unwrap()).unwrap();
    assert!(notice().unwrap().contains("says otherwise and is not read"), "{:?}", notice());
    assert_eq!(Description::open(folder.path()).unwrap().image_processor, tower);
    for (broken, reason) in
        [("{", "valid JSON"), ("version https://git-lfs.github.com/spec/v1", "Git LFS pointer")]
    {
        std::fs::write(&own, broken).unwrap();
        let notice = notice().unwrap();
        assert!(notice.contains("cannot be used (") && notice.contains(reason), "{notice}");
    }
}

#[test]
fn progress_ends_at_the_total() {
    let folder = saved(&Tiny::clip());
    let mut calls = Vec::new();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    checkpoint
        .load_with(FloatDType::F32, &Device::default(), |done, total| calls.push((done, total)))
        .unwrap();
    let stored: usize = contents(folder.path()).iter().map(|(_, _, _, bytes)| bytes.len()).sum();
    assert!(calls.is_sorted());
    assert_eq!(calls.last(), Some(&(stored as u64, stored as u64)));
}

#[test]
fn weights_loaded_on_an_autodiff_device_are_trained() {
    let folder = saved(&Tiny::clip());
    let device = Device::default().autodiff();
    let model = Checkpoint::open(folder.path()).unwrap().load(FloatDType::F32, &device).unwrap();
    let features = Tensor::<3>::ones([1, 5, 12], &device);
    let gradients = model.project(features).image_features.sum().backward();
    struct Trained<'a>(&'a burn::tensor::Gradients, Vec<bool>);
    impl burn::module::ModuleVisitor for Trained<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.1.push(param.val().grad(self.0).is_some());
        }
    }
    let mut trained = Trained(&gradients, Vec::new());
    model.mm_projector.visit(&mut trained);
    assert_eq!(trained.1, [true; 4]);
}

#[test]
fn a_module_is_loaded_and_saved_alone() {
    let folder = saved(&Tiny::clip());
    let weights = Weights::from_folder(folder.path()).unwrap();
    let fresh = || Tiny::clip().model.moe_model.unwrap();
    let moe = load_module(fresh(), &weights, names::moe, FloatDType::F32).unwrap();
    let file = folder.path().join("moe.safetensors");
    save_module(&moe, names::moe, &file, None).unwrap();
    let alone = Weights::from_file(&file).unwrap();
    assert_eq!(alone.names().count(), 7);
    for name in alone.names() {
        assert_eq!(alone.get(name).unwrap().bytes, weights.get(name).unwrap().bytes, "{name}");
    }
    let error = load_module(fresh(), &alone, names::vision_tower, FloatDType::F32).unwrap_err();
    assert!(error.to_string().contains("`vision_model.gate.weight` [2, 16] is missing"));
}
