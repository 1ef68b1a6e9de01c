//! How what comes from outside (files, their names, what they hold) is handled: it is read with a limit, decoded
//! where a dependency's panic becomes an error, and printed without its control characters.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use parrot_model::untrusted::{self, contained, printable};
//!
//! let path = Path::new("answers.xlsx");
//! let bytes = untrusted::read(path, 64 << 20)?;
//! # fn parse(bytes: &[u8]) -> Result<(), String> { Ok(()) }
//! // `flatten`: the parser's own error and a panic in it are handled alike.
//! if let Err(reason) = contained(|| parse(&bytes)).flatten() {
//!     eprintln!("error: {}: {}", printable(&path.display().to_string()), printable(&reason));
//! }
//! # Ok::<(), parrot_model::Error>(())
//! ```

mod contain;
mod files;
mod objects;
mod text;

pub use contain::{contained, contained_deep, is_contained};
pub(crate) use contain::{first_line, message};
pub(crate) use files::MAX_VOCABULARY_BYTES;
pub(crate) use files::{
    LFS_POINTER, check, is_lfs_pointer, is_lfs_pointer_file, of_link, parse_json, parse_text,
};
pub use files::{
    MAX_CONFIG_BYTES, check_folder_place, create_folder, is_stream, open, read, read_json, read_text,
    refuse_link, remove_file, replace_file, require_file,
};
pub use objects::{Objects, from_json, object};
pub use text::{decode_text, plain_reason, printable, printable_json, shortened};
