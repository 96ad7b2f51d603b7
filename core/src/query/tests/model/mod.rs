//! Random lives of a store, held against one row per job after each step.
//!
//! `BLACKSMITH_MODEL_CASES=2000 cargo test -p blacksmith-core query::tests::model` runs it for long.

mod check;
mod life;
mod plain;
mod step;

use proptest::prelude::*;

use life::Life;
use step::step;

fn cases() -> u32 {
    let asked = std::env::var("BLACKSMITH_MODEL_CASES");
    asked.ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// STO-02 STO-05 STO-06 STA-08 CON-07 STA-01
    #[test]
    fn whatever_happens_queries_say_what_one_row_per_job_would(
        steps in proptest::collection::vec((step(), any::<u64>()), 1..60),
        in_memory in proptest::bool::weighted(0.25),
    ) {
        let mut life = Life::begin(in_memory);
        for (step, salt) in &steps {
            life.step(step);
            life.check(*salt)?;
        }
    }
}
