//! How fast shardarrow is, measured against what people use.
//!
//! `shapes` and `pages` make the same realistic bytes for every measurement; `ours` and `contenders` are what
//! decodes them; `work` takes one measurement after the other from the driver, which interleaves them.

pub mod random;
pub mod shapes;
pub mod pages;
pub mod ours;
pub mod contenders;
pub mod sdk;
pub mod clock;
pub mod work;
pub mod server;
pub mod raw;
