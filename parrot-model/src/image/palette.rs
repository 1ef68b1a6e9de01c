//! What indices beyond a palette show.

/// A colour for every index. Behind the file's own come black ones; but where those are the greys from 0 on, Pillow takes the
/// indices themselves for greys, and so further ones.
pub(super) fn every_index(colors: &[[u8; 3]]) -> [[u8; 3]; 256] {
    let greys = std::array::from_fn(|index| [index as u8; 3]);
    if greys.starts_with(colors) {
        return greys;
    }
    let mut all = [[0; 3]; 256];
    let count = colors.len().min(all.len());
    all[..count].copy_from_slice(&colors[..count]);
    all
}
