//! The decoder and its peers on one core, for whoever works on the decoder: `cargo bench -p benches`.
//! The figures of docs/benchmarks.md come from `make bench`, which interleaves what it compares.

use std::time::Duration;

use benches::contenders::{Workload, contender};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn decode(criterion: &mut Criterion) {
    for service in ["streams", "scan", "dynamodb", "json", "bytes"] {
        for shape in ["small", "medium", "wide", "nested"] {
            let name = format!("{service}/{shape}");
            let peers: &[&str] = match service {
                "streams" => &["ours", "ours-old", "dom", "sdk"],
                "scan" | "dynamodb" => &["ours", "dom", "sdk"],
                _ => &["ours", "dom"],
            };
            compare(criterion, &name, peers);
            compare(criterion, &format!("{name}/shuffled"), &["ours"]);
        }
    }
}

fn fixed_cost(criterion: &mut Criterion) {
    for shape in ["small", "medium", "wide"] {
        for records in [1, 10] {
            compare(criterion, &format!("streams/{shape}/{records}"), &["ours"]);
        }
    }
}

fn compare(criterion: &mut Criterion, name: &str, contenders: &[&str]) {
    let workload = Workload::named(name).expect("a workload");
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(workload.answer.body().len() as u64));
    for name in contenders {
        let mut contender = contender(name, &workload).expect("a contender");
        group.bench_function(*name, |bencher| bencher.iter(|| contender.pass()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = decode, fixed_cost
}
criterion_main!(benches);
