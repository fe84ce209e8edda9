//! The decoder and what it imports.
#![allow(dead_code)]

#[path = "../../../src/broken.rs"]
pub mod broken;
#[path = "../../../src/position.rs"]
pub mod position;
#[path = "../../../src/error.rs"]
pub mod error;
#[path = "../../../src/page.rs"]
pub mod page;
#[path = "../../../src/decode/mod.rs"]
pub mod decode;
