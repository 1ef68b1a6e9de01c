//! Operations that Burn lacks or does badly: what each computes, its derivative, and the backends' own kernels.
//!
//! | operation | functions | on the CPU ([`flex`], as Burn calls it), in f32 | on GPUs (`cubecl`) | derivative |
//! |---|---|---|---|---|
//! | matrix product | [`matmul()`], [`linear`] | own kernel | Burn's | two products |
//! | attention | [`attention()`], [`causal_attention`], [`unmasked_attention`] | own kernel | the fastest exact kernel, or composed | closed form |
//! | cross-entropy | [`cross_entropy()`] | composed | composed | closed form |
//! | rotary embedding | [`rotate`] | own kernel | composed | closed form |
//! | root mean square norm | [`rms_norm()`] | own kernel | composed | closed form |
//! | SwiGLU | [`silu_product`] | own kernel | composed | closed form |
//! | GELU, CLIP's | [`quick_gelu`] | own kernel | composed | closed form |
//! | GELU, exact | [`gelu()`] | Burn's | Burn's | of its formula |
//! | weights in 8 and 4 bits | [`blocks()`], [`table_rows`] | own kernels | own kernel, or unpacked for Burn's | a product; the weights learn nothing |
//!
//! *Composed* means: made of the backend's elementary operations. On the CPU activations are f32, and weights may be held in
//! less: the matrix product reads them as they are.
//!
//! Why derivatives of our own? Burn differentiates step by step: its attention keeps three tensors of the scores' size
//! for the backward pass and goes over the scores some twenty times, and its softmax computes every exponential twice. The
//! closed forms keep one such tensor and go over it five times.
//!
//! # How to add an operation
//!
//! 1. A file here with everything that is the same on every backend: the function that forward code calls, a trait with a
//!    method for each thing that a backend may do in its own way, the composed form as those methods' default, and
//!    `impl … for Autodiff`, which records the derivative ([`autodiff`]). Its test (`testing::check`) compares output and
//!    gradients with those that Burn derives from the same formula.
//! 2. One `impl` for each backend, in `flex/` and in `cubecl/`: the backend's kernels, or empty, which says that the backend
//!    composes the operation. Without it the crate does not compile.
//!
//! A [`Tensor`](burn::Tensor)'s type does not say which backend computes it. `#[backend_extension]` on a trait connects the
//! two: it writes `impl … for Dispatch` and, with Burn's fusion, `impl … for Fusion<B>`. There a method marked
//! `#[fusion(default)]` is composed, so that its steps are fused with their neighbours; one marked with the dtype and shape
//! of its output goes on to the backend's own kernel. Every trait repeats the attribute's list of backends, because a macro
//! that held the list would hide the traits from rustfmt. Tensors go in and out of a method alone, in tuples, or in structs
//! that derive `ExtensionType`.

mod attention;
mod autodiff;
mod blocks;
mod cross_entropy;
mod gelu;
mod matmul;
mod rms_norm;
mod rotary;
mod swiglu;

#[cfg(feature = "cube")]
mod cubecl;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod testing;

pub(crate) use attention::{attention, causal_attention, unmasked_attention, unmasked_bias};
pub(crate) use blocks::{block_format, blocks, table_rows};
pub(crate) use cross_entropy::cross_entropy;
#[cfg(feature = "flex")]
pub(crate) use flex::bf16_rate;
pub(crate) use gelu::{gelu, quick_gelu};
pub(crate) use matmul::{linear, matmul};
pub(crate) use rms_norm::rms_norm;
pub(crate) use rotary::rotate;
pub(crate) use swiglu::silu_product;

/// On the CPU, a product of up to this many rows with a weight sums each row in the same order, whatever the other rows are.
pub(crate) const FEW_ROWS: usize = 32;
