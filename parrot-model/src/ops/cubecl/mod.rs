//! The operations on GPUs. All of Burn's GPU backends (CUDA, ROCm, Metal, Vulkan, WebGPU) are compiled by *CubeCL*: hence
//! this folder's name.
//!
//! Elementwise operations are composed above this backend, where Burn's fusion makes a few kernels of their steps.

mod attention;

use burn_cubecl::CubeBackend;

use super::blocks::Blocks;
use super::cross_entropy::CrossEntropy;
use super::gelu::QuickGelu;
use super::matmul::MatMul;
use super::swiglu::SwiGluOps;

// Burn's own product, chosen by measuring.
impl MatMul for CubeBackend {}

// Only the CPU holds weights in blocks.
impl Blocks for CubeBackend {}

// Composed.
impl CrossEntropy for CubeBackend {}
impl SwiGluOps for CubeBackend {}
impl QuickGelu for CubeBackend {}
