//! A model's folder → a folder with the same model in blocks of 8 or 4 bits.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::prelude::*;
use burn::tensor::FloatDType;
use safetensors::tensor::{Dtype, TensorInfo};

use super::cast::cast;
use super::load::{self, ExpectedTensor};
use super::quantize::quantize;
use super::save::{SaveOptions, write_beside};
use super::staging::Staging;
use super::tensors::header_bytes;
use super::{Checkpoint, block_file, names};
use crate::layout::WEIGHTS_FILE;
use crate::quantization::BlockFormat;
use crate::{Error, Result};

impl Checkpoint {
    /// Writes the model to a folder of its own with the weights of products in [blocks](crate::quantization), as loading it in
    /// `format` would hold them; all others stay as they are stored. One tensor at a time is in memory. What is written loads
    /// like any model, but in `format` alone.
    ///
    /// - progress: called with how many of the stored bytes have been read, and how many there are
    ///
    /// An existing checkpoint at `out` is replaced, as [`save`](super::save) does.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when the model is quantised already, when `out` is its own folder or holds something else, and
    /// for weights that are missing, mis-shaped, NaN, infinite or too large; [`Error::Io`] when something cannot be written.
    /// `out` is then as it was.
    pub fn quantize(
        &self,
        format: BlockFormat,
        out: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<()> {
        let out = out.as_ref();
        if let Some(held) = self.block_format() {
            let reason =
                format!("is quantised already, in {}; quantise the model that it was made from", held.name());
            return Err(Error::checkpoint(&self.path, reason));
        }
        if let (Ok(source), Ok(out)) = (self.path.canonicalize(), out.canonicalize())
            && source == out
        {
            return Err(Error::checkpoint(
                &self.path,
                "is the model itself; write the quantised one to another folder",
            ));
        }
        // No parameter of it ever gets memory.
        let model = self.init(&Device::default())?;
        let wanted = load::parameters(&model, &names::parrot(&self.description.config)?);
        self.model_weights().check(&wanted)?;

        let staging = Staging::create(out)?;
        self.write_blocks(&staging.path().join(WEIGHTS_FILE), &wanted, format, &mut progress)?;
        let mut config = self.description.config.clone();
        config.extra.insert("quantization_config".into(), block_file::quantization_config(format));
        let options = SaveOptions {
            source: Some(self.path.clone()),
            image_processor: Some(self.description.image_processor.clone()),
            ..SaveOptions::default()
        };
        write_beside(staging.path(), config, &self.description.vision, &options)?;
        staging.publish()
    }

    /// The weight file.
    fn write_blocks(
        &self,
        path: &Path,
        wanted: &[ExpectedTensor],
        format: BlockFormat,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        // `check` has found every one.
        let stored = self.model_weights();
        let tensors: Vec<_> =
            wanted.iter().filter_map(|wanted| Some((wanted, stored.find(&wanted.name)?))).collect();
        let mut end = 0;
        let infos = tensors.iter().map(|(wanted, stored)| {
            let (dtype, shape, bytes) = match *wanted.shape {
                [rows, columns] if wanted.is_product_weight => {
                    let matrix = [rows, columns];
                    (Dtype::U8, block_file::shape(format, matrix).to_vec(), format.matrix_bytes(matrix))
                }
                _ => (stored.dtype, stored.shape.to_vec(), stored.bytes.len()),
            };
            let start = end;
            end += bytes;
            (wanted.name.clone(), TensorInfo { dtype, shape, data_offsets: (start, end) })
        });
        let header = header_bytes(infos.collect(), block_file::metadata(format))?;

        let file = File::create(path).map_err(Error::io("create", path))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
        write(&(header.len() as u64).to_le_bytes())?;
        write(&header)?;
        let total = tensors.iter().map(|(_, stored)| stored.bytes.len() as u64).sum();
        let mut done = 0;
        for (wanted, stored) in tensors {
            let error = |reason| Error::checkpoint(&self.path, format!("`{}` {reason}", wanted.name));
            if wanted.is_product_weight {
                write(&quantize(stored, format).map_err(error)?)?;
            } else {
                // Reading it finds what is not finite.
                cast(stored, FloatDType::F32).map_err(error)?;
                write(stored.bytes)?;
            }
            stored.release();
            done += stored.bytes.len() as u64;
            progress(done, total);
        }
        let file = file.into_inner().map_err(|error| Error::io("write", path)(error.into_error()))?;
        file.sync_all().map_err(Error::io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{Tiny, contents, edit};
    use super::super::weights::Weights;
    use super::*;
    use crate::device::WeightDtype;
    use crate::language::DecoderInput;
    use crate::parrot::ParrotModel;

    const TABLE: &str = "model.embed_tokens.weight";

    /// A model's folder and that of the same model in blocks.
    fn quantized(tiny: &Tiny, format: BlockFormat) -> (tempfile::TempDir, tempfile::TempDir) {
        let (source, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = SaveOptions { dtype: Some(FloatDType::BF16), ..SaveOptions::default() };
        tiny.save_with(source.path(), &options).unwrap();
        Checkpoint::open(source.path()).unwrap().quantize(format, out.path(), |_, _| ()).unwrap();
        (source, out)
    }

    fn load(folder: &Path, dtype: impl Into<WeightDtype>) -> Result<ParrotModel> {
        Checkpoint::open(folder)?.load(dtype, &Device::default())
    }

    fn error(folder: &Path, dtype: impl Into<WeightDtype>) -> String {
        let error = load(folder, dtype).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }

    /// What the tower, the projector and the experts make of a picture, and the decoder of tokens.
    fn output(model: &ParrotModel) -> [Vec<f32>; 2] {
        let device = Device::default();
        let pixels = std::array::from_fn::<_, 192, _>(|i| (i as f32).sin());
        let pixels = Tensor::<1>::from_floats(pixels, &device).reshape([1, 3, 8, 8]);
        let features = model.encode_images(pixels).experts_output.unwrap();
        let embeds =
            model.language_model.embed(Tensor::<1, Int>::from_data([3, 1, 2], &device)).unsqueeze::<3>();
        let hidden_states = model.language_model.forward(DecoderInput::unpadded(embeds), None);
        let logits = model.language_model.logits(hidden_states);
        [features.into_data(), logits.into_data()].map(|data| data.try_to_vec().unwrap())
    }

    #[test]
    fn what_is_written_is_what_quantising_while_loading_gives() {
        for tiny in [Tiny::clip(), Tiny::siglip()] {
            for format in BlockFormat::ALL {
                let (source, out) = quantized(&tiny, format);
                let (wide, blocks) =
                    (load(source.path(), format).unwrap(), load(out.path(), format).unwrap());
                assert_eq!(output(&wide), output(&blocks));
                let checkpoint = Checkpoint::open(out.path()).unwrap();
                assert_eq!(checkpoint.block_format(), Some(format));
                assert_eq!(checkpoint.description.config.unknown_keys().count(), 0);
                // [24, 16] is two panels of one block; norms stay as they were.
                let weights = Weights::from_folder(out.path()).unwrap();
                let table = weights.get(TABLE).unwrap();
                assert_eq!(table.shape, [2, 1, format.block_bytes()]);
                let held = block_file::read(table, format).unwrap();
                assert_eq!(held.as_ptr() == table.bytes.as_ptr(), cfg!(not(windows)), "used where it lies");
                assert_eq!(weights.get("model.norm.weight").unwrap().dtype, Dtype::BF16);
            }
        }
    }

    #[test]
    fn blocks_are_not_exported_to_programs_that_do_not_know_them() {
        let (_source, out) = quantized(&Tiny::clip(), BlockFormat::Q8);
        let error = crate::checkpoint::export_transformers(out.path()).unwrap_err().to_string();
        assert!(error.contains("its weights are in blocks"), "{error}");
        assert!(!out.path().join("modeling_parrot.py").exists());
    }

    #[test]
    fn blocks_are_loaded_as_what_they_are() {
        let (_source, out) = quantized(&Tiny::clip(), BlockFormat::Q4);
        for dtype in [WeightDtype::from(FloatDType::F32), BlockFormat::Q8.into()] {
            let error = error(out.path(), dtype);
            let expected = format!(
                "quantised and can be held in q4 alone, not in {dtype}; for other widths and for training"
            );
            assert!(error.contains(&expected), "{error}");
        }
        let tower = Tiny::clip().model.vision_tower;
        let weights = Weights::from_folder(out.path()).unwrap();
        let parameters =
            |path: &[String]| format!("model.vision_tower.vision_tower.vision_model.{}", path.join("."));
        let error = super::super::load_module(tower, &weights, parameters, FloatDType::F32).unwrap_err();
        assert!(error.to_string().contains("can be held in q4 alone, not in f32"), "{error}");
    }

    #[test]
    fn a_quantised_model_is_not_quantised_again_nor_a_model_replaced_by_itself() {
        let (source, out) = quantized(&Tiny::clip(), BlockFormat::Q4);
        let again = tempfile::tempdir().unwrap();
        let (to, before) = (again.path().join("again"), contents(source.path()));
        let checkpoint = Checkpoint::open(out.path()).unwrap();
        let error = checkpoint.quantize(BlockFormat::Q8, &to, |_, _| ()).unwrap_err().to_string();
        assert!(
            error.contains("is quantised already, in q4; quantise the model that it was made from"),
            "{error}"
        );
        let checkpoint = Checkpoint::open(source.path()).unwrap();
        let error = checkpoint.quantize(BlockFormat::Q8, source.path(), |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("is the model itself"), "{error}");
        assert_eq!(contents(source.path()), before);
        assert_eq!(fs::read_dir(again.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_half_written_stays() {
        let (source, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Tiny::clip().save(source.path());
        for name in ["model.norm.weight", TABLE] {
            let mut before = Vec::new();
            edit(source.path(), |tensors| {
                let bytes = &mut tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().3;
                before.extend_from_slice(&bytes[..4]);
                bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            });
            let checkpoint = Checkpoint::open(source.path()).unwrap();
            let to = out.path().join("model");
            let error = checkpoint.quantize(BlockFormat::Q8, to, |_, _| ()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}` holds NaN")), "{error}");
            assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
            drop(checkpoint);
            edit(source.path(), |tensors| {
                tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap().3[..4].copy_from_slice(&before);
            });
        }
    }

    /// Rewrites the header of a folder's weight file; what follows stays.
    fn edit_header(folder: &Path, edit: impl Fn(&str) -> String) {
        let path = folder.join(WEIGHTS_FILE);
        let bytes = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = edit(std::str::from_utf8(&bytes[8..8 + length]).unwrap());
        fs::write(&path, super::super::testing::with_header(&header, &bytes[8 + length..])).unwrap();
    }

    #[test]
    fn hostile_files_are_refused() {
        for format in BlockFormat::ALL {
            let folder = || quantized(&Tiny::clip(), format).1;
            let cut = folder();
            let path = cut.path().join(WEIGHTS_FILE);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
            assert!(error(cut.path(), format).contains("is cut off or padded"));

            let version = folder();
            edit_header(version.path(), |header| header.replace(r#"version":"1""#, r#"version":"2""#));
            let found = error(version.path(), format);
            assert!(found.contains(r#"holds blocks of version "2"; version 1 can be read"#), "{found}");
            let unknown = folder();
            let named = format!(r#"format":"{}""#, format.name());
            edit_header(unknown.path(), |header| header.replace(&named, r#"format":"q5""#));
            let found = error(unknown.path(), format);
            assert!(found.contains(r#"holds blocks of the format "q5"; q8 and q4 can be read"#), "{found}");

            // As many bytes, but other blocks.
            let size = format.block_bytes();
            for lie in [[1, 2, size], [2, 1, size + 1], [4, 1, size / 2]] {
                let lying = folder();
                if lie.iter().product::<usize>() != 2 * size {
                    continue;
                }
                let true_shape = format!(r#""shape":[2,1,{size}]"#);
                edit_header(lying.path(), |header| {
                    header.replacen(&true_shape, &format!(r#""shape":{lie:?}"#).replace(' ', ""), 1)
                });
                let found = error(lying.path(), format);
                assert!(
                    found.contains(&format!("should be blocks of [2, 1, {size}], found {lie:?}")),
                    "{found}"
                );
            }
        }
    }

    /// A tool that rewrites safetensors files may drop their metadata; the shapes of all matrices look wrong then.
    #[test]
    fn blocks_that_the_file_does_not_announce_are_named() {
        for format in BlockFormat::ALL {
            let (_source, out) = quantized(&Tiny::clip(), format);
            edit_header(out.path(), |header| header.replace("parrot.blocks.", "lost."));
            for dtype in [WeightDtype::from(FloatDType::F32), format.into()] {
                let found = error(out.path(), dtype);
                let expected = format!(
                    "_proj.weight` in {}, but the file lacks the metadata that say so",
                    format.name()
                );
                assert!(
                    found.contains("its weights are quantised, `model.") && found.contains(&expected),
                    "{found}"
                );
                assert!(!found.contains("should be"), "{found}");
            }
        }
    }

    #[test]
    fn scales_are_finite() {
        for (format, place) in [(BlockFormat::Q8, 30), (BlockFormat::Q4, 30), (BlockFormat::Q4, 62)] {
            for number in [half::f16::NAN, half::f16::INFINITY] {
                let (_source, out) = quantized(&Tiny::clip(), format);
                let path = out.path().join(WEIGHTS_FILE);
                let mut bytes = fs::read(&path).unwrap();
                let weights = Weights::from_file(&path).unwrap();
                let table = weights.get(TABLE).unwrap().bytes;
                let start = bytes.windows(table.len()).position(|window| window == table).unwrap();
                drop(weights);
                let place = start + format.block_bytes() + place;
                bytes[place..place + 2].copy_from_slice(&number.to_le_bytes());
                fs::remove_file(&path).unwrap();
                fs::write(&path, bytes).unwrap();
                let found = error(out.path(), format);
                let expected = format!("`{TABLE}` has a block with the scale or minimum {number}");
                assert!(found.contains(&expected), "{found}");
            }
        }
    }
}
