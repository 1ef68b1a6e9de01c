//! The process's memory: keeping what freed tensors leave, and getting zeroed memory for weights.

use burn::tensor::Element;

/// Lets the process keep freed memory for its next tensors instead of giving it back to the kernel. Programs that
/// compute on the processor call it once, before they start.
///
/// By default glibc maps every block over 32 MB anew and unmaps it when it is freed, and returns what is free at the
/// heap's end. A training step makes and drops hundreds of large tensors, and a fifth of its time was the kernel's:
/// handing out zeroed pages and taking them back. The price is that memory once used stays with the process.
///
/// Does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // In bytes: below a gigabyte, no block gets a mapping of its own.
        const MAPPED_FROM: libc::c_int = 1 << 30;
        // However much is free at the heap's end, a step of half a billion parameters leaves gigabytes there.
        const NEVER: libc::c_int = -1;
        const HEAP_GROWTH: libc::c_int = 64 << 20;
        for (option, value) in [
            (libc::M_MMAP_THRESHOLD, MAPPED_FROM),
            (libc::M_TRIM_THRESHOLD, NEVER),
            (libc::M_TOP_PAD, HEAP_GROWTH),
        ] {
            // SAFETY: `mallopt` takes two integers, locks what it changes, and reports an option or a value that it
            // does not know by its result. Then the allocator is as before, which is slower and not wrong.
            #[allow(unsafe_code)]
            unsafe {
                libc::mallopt(option, value);
            }
        }
    }
}

/// Zeros that no page has been touched for, in huge pages where the system has them: memory for a weight, to be filled.
pub(crate) fn zeroed_weights<T: Element>(count: usize) -> Vec<T> {
    let values = vec![T::default(); count];
    use_huge_pages(&values);
    values
}

/// Asks for huge pages under a long-lived vector that has not been written yet. A weight is read from end to end for every
/// token, and with pages of 4 KiB the processor waits for their addresses more often than with those of 2 MiB.
///
/// Does nothing where the system is not Linux, or gives no huge pages to who asks for them.
pub fn use_huge_pages<T>(memory: &[T]) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const HUGE: usize = 2 << 20;
        let begin = memory.as_ptr() as usize / HUGE * HUGE;
        let end = (memory.as_ptr() as usize + size_of_val(memory)).next_multiple_of(HUGE);
        if size_of_val(memory) < HUGE / 2 {
            return;
        }
        // SAFETY: the advice changes in what pages memory comes, never what is in it, so it may reach over the vector's
        // ends, which share pages with what lies beside. What is not the process's it passes over.
        #[allow(unsafe_code)]
        unsafe {
            libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = memory;
}
