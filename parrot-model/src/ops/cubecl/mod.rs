//! The operations on GPUs. All of Burn's GPU backends (CUDA, ROCm, Metal, Vulkan, WebGPU) are compiled by *CubeCL*: hence
//! this folder's name.
//!
//! Elementwise operations are composed above this backend, where Burn's fusion makes a few kernels of their steps.

#[cfg(feature = "tuning")]
mod attention;
mod blocks;

use burn_cubecl::CubeBackend;

#[cfg(not(feature = "tuning"))]
use super::attention::AttentionOps;
use super::cross_entropy::CrossEntropy;
use super::gelu::QuickGelu;
use super::matmul::MatMul;
use super::rms_norm::Norm;
use super::rotary::Rotary;
use super::swiglu::SwiGluOps;

// Burn's own product, chosen by measuring, or the one that needs nothing of the device.
impl MatMul for CubeBackend {}

// Composed.
#[cfg(not(feature = "tuning"))]
impl AttentionOps for CubeBackend {}
impl CrossEntropy for CubeBackend {}
impl Norm for CubeBackend {}
impl Rotary for CubeBackend {}
impl SwiGluOps for CubeBackend {}
impl QuickGelu for CubeBackend {}
