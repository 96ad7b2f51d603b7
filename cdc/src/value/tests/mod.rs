mod rows;
mod scalars;
mod sheets;

const NUMERIC: u32 = 1700;

fn typmod(precision: i32, scale: i32) -> i32 {
    (precision << 16 | scale & 0x7ff) + 4
}
