//! The allocator of the binary, and how long it keeps memory that was given back.
//!
//! This is the one file of the binary that may say `unsafe`, for one call.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, which its Rust crate does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// How long freed memory waits before the system gets it back, in milliseconds; mimalloc waits
/// ten times as long for whole arenas. With its own 10 ms a broker under load gives back and
/// fetches again the same pages all the time: 0.1 CPU s and a tenth of the rate per GB.
const PURGE_DELAY_MS: core::ffi::c_long = 200;

/// Sets the allocator up, unless `MIMALLOC_PURGE_DELAY` says otherwise.
pub(crate) fn set_up() {
    // SAFETY: sets one number of the allocator's own table, before any thread is started.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_delay_is_taken() {
        super::set_up();
        // SAFETY: reads one number of the allocator's own table.
        let delay = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(delay, super::PURGE_DELAY_MS);
        }
    }
}
