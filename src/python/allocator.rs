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

/// Milliseconds for which freed memory is kept for the next batch. None costs twice the time, and a second, as
/// mimalloc would, is tens of megabytes more.
const KEPT: c_long = 200;

/// The same where pages are large: each that is kept counts as much as many small ones.
const LARGE_KEPT: c_long = 20;
const LARGE_PAGE: usize = 4 << 20;

pub(super) fn give_back_soon() {
    give_back_within(KEPT);
}

/// For a stream whose pages have at most so many bytes. What one stream asks for holds for all.
pub(super) fn expect_pages(bytes: usize) {
    if bytes > LARGE_PAGE {
        give_back_within(LARGE_KEPT);
    }
}

fn give_back_within(milliseconds: c_long) {
    // SAFETY: it stores a number that is read with each purge, and may be called at any time.
    unsafe { mi_option_set_default(PURGE_DELAY, milliseconds) };
}
