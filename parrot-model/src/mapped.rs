//! A file's bytes as memory that tensors can use.

use std::fs::File;
use std::io;

use burn::tensor::{AllocationProperty, Bytes};
use memmap2::Mmap;

use crate::allocator::use_huge_pages;

/// A file that is mapped, until the last tensor in it is gone; or one that is in memory anyway.
#[derive(Debug, Clone)]
pub(crate) struct MappedFile {
    bytes: bytes::Bytes,
    /// Whether its pages can be read again from the disk.
    is_mapped: bool,
}

impl MappedFile {
    /// Maps a file; nothing is read yet.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: whoever sees the map sees shared slices only. That nobody shortens or rewrites the file meanwhile cannot be
        // enforced and is documented at `Weights`.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(file)? };
        use_huge_pages::<u8>(&map);
        Ok(Self { bytes: bytes::Bytes::from_owner(map), is_mapped: true })
    }

    /// A file that was read.
    pub(crate) fn in_memory(bytes: bytes::Bytes) -> Self {
        Self { bytes, is_mapped: false }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Part of it as the memory of a tensor, which is not copied unless it is written to; `None` where such memory would not
    /// do: at no multiple of the elements' size, in another byte order, and on Windows, where a file that is mapped cannot be
    /// replaced, so that a model could not be saved to where it was loaded from.
    ///
    /// # Panics
    ///
    /// If `part` does not lie in this map.
    pub(crate) fn share(&self, part: &[u8], element_size: usize) -> Option<Bytes> {
        let suits = cfg!(all(target_endian = "little", not(windows)));
        let is_aligned = (part.as_ptr() as usize).is_multiple_of(element_size);
        (suits && is_aligned).then(|| Bytes::from_shared(self.bytes.slice_ref(part), self.property()))
    }

    fn property(&self) -> AllocationProperty {
        if self.is_mapped { AllocationProperty::File } else { AllocationProperty::Other }
    }

    /// Takes pages that have been read off the process's account; whoever reads them again finds them in the file.
    ///
    /// # Panics
    ///
    /// If `part` does not lie in this map.
    pub(crate) fn release(&self, part: &[u8]) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        {
            // Less than a huge page is not worth a call, and the end of one is left to the next tensor.
            const LEAST: usize = 2 << 20;
            let part = self.bytes.slice_ref(part);
            if part.len() < LEAST || !self.is_mapped {
                return;
            }
            // SAFETY: sysconf only reports, and the page's size is always known.
            #[allow(unsafe_code)]
            let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
            let begin = (part.as_ptr() as usize).next_multiple_of(page);
            let end = (part.as_ptr() as usize + part.len()) / page * page;
            // SAFETY: whole pages within a map of a file that cannot be written through; their content comes back from
            // the file when it is read again.
            #[allow(unsafe_code)]
            unsafe {
                libc::madvise(begin as *mut libc::c_void, end.saturating_sub(begin), libc::MADV_DONTNEED);
            }
        }
        #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
        let _ = part;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn mapped(bytes: &[u8]) -> MappedFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        MappedFile::new(&file).unwrap()
    }

    #[cfg(not(windows))]
    #[test]
    fn a_part_is_memory_where_it_is_aligned() {
        let content: Vec<u8> = (0..=255).collect();
        let file = mapped(&content);
        assert!(file.share(&file.bytes()[6..10], 4).is_none());
        let mut shared = file.share(&file.bytes()[6..10], 2).unwrap();
        assert_eq!(shared.as_ptr(), file.bytes()[6..].as_ptr());
        // It keeps the map, and writing to it copies it.
        let other = file.share(&file.bytes()[8..16], 8).unwrap();
        drop(file);
        shared[2] = 0;
        assert_eq!((&shared[..], &other[..]), (&[6, 7, 0, 9][..], &content[8..16]));
    }

    #[test]
    fn pages_that_were_released_can_be_read_again() {
        let content: Vec<u8> = (0..5 << 20).map(|at: u32| (at / 7) as u8).collect();
        let file = mapped(&content);
        assert!(file.bytes() == content);
        file.release(&file.bytes()[3..]);
        file.release(&file.bytes()[..9]);
        assert!(file.bytes() == content);
    }
}
