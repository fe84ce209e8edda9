//! Who decodes beside us.

use shardarrow::decode::SchemaState;

pub use crate::ours::{Answer, Contender, Ours, Workload};

use crate::ours::ours;
use crate::sdk::Typed;

/// By name: ours, `dom` or `sdk`.
pub fn contender(name: &str, workload: &Workload) -> Option<Box<dyn Contender>> {
    Some(match name {
        "dom" => Box::new(Dom(workload.answer.body().clone())),
        "sdk" => Box::new(Typed::new(workload)),
        _ => return ours(name, workload),
    })
}

/// A tree of the same bytes, and nothing done with it.
struct Dom(bytes::Bytes);

impl Contender for Dom {
    fn pass(&mut self) {
        let tree: sonic_rs::Value = sonic_rs::from_slice(&self.0).expect("the page is JSON");
        std::hint::black_box(tree);
    }
}

/// The columns reached after one page.
pub fn schema_of(workload: &Workload) -> SchemaState {
    let mut ours = Ours::new(workload, workload.options());
    ours.batch();
    ours.schema()
}
