//! The extension's own allocator. Python and other extensions keep theirs.
//!
//! Pages and columns of megabytes come and go with every batch, made by one thread and freed by another,
//! which glibc's allocator gives back to the system and maps again each time.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Milliseconds for which freed memory is kept for the next batch. A second, as mimalloc would, is tens of
/// megabytes more where pages have 10 MB, and so is a twentieth of one; none costs twice the time.
const KEPT: c_long = 20;

pub(super) fn give_back_soon() {
    // SAFETY: it stores a number that is read with each purge, and may be called at any time.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT) };
}
