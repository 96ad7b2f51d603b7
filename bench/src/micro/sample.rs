//! Columns whose values are functions of a row's number, as Postgres writes them in text and in binary.

/// 2024-03-01 in days since 2000-01-01, how Postgres counts.
const MARCH: u64 = 8_826;
/// Days of that month that are used.
const DAYS: u64 = 28;
const DAY_SECONDS: u64 = 86_400;

/// A column's type, with its value in row `n`.
#[derive(Debug, Clone, Copy)]
pub enum Sample {
    /// `bigint`
    Bigint(fn(u64) -> u64),
    /// `integer`
    Int(fn(u64) -> u32),
    /// `boolean`
    Bool(fn(u64) -> bool),
    /// `double precision`
    Double(fn(u64) -> f64),
    /// `numeric(12,2)`: hundredths
    Numeric(fn(u64) -> u64),
    /// `timestamptz`: microseconds since 2024-03-01
    Timestamptz(fn(u64) -> u64),
    /// `date`: days since 2024-03-01
    Date(fn(u64) -> u64),
    /// `uuid`
    Uuid(fn(u64) -> u128),
    /// `text`
    Text(fn(u64) -> String),
    /// `jsonb`
    Jsonb(fn(u64) -> String),
}

impl Sample {
    /// The type's oid and modifier.
    #[must_use]
    pub fn pg_type(self) -> (u32, i32) {
        match self {
            Sample::Bigint(_) => (20, -1),
            Sample::Int(_) => (23, -1),
            Sample::Bool(_) => (16, -1),
            Sample::Double(_) => (701, -1),
            Sample::Numeric(_) => (1700, (12 << 16 | 2) + 4),
            Sample::Timestamptz(_) => (1184, -1),
            Sample::Date(_) => (1082, -1),
            Sample::Uuid(_) => (2950, -1),
            Sample::Text(_) => (25, -1),
            Sample::Jsonb(_) => (3802, -1),
        }
    }

    /// The value of row `n` as text.
    #[must_use]
    pub fn text(self, n: u64) -> Vec<u8> {
        let text = match self {
            Sample::Bigint(value) => value(n).to_string(),
            Sample::Int(value) => value(n).to_string(),
            Sample::Bool(value) => if value(n) { "t" } else { "f" }.to_owned(),
            Sample::Double(value) => value(n).to_string(),
            Sample::Numeric(value) => format!("{}.{:02}", value(n) / 100, value(n) % 100),
            Sample::Timestamptz(value) => timestamp(value(n)),
            Sample::Date(value) => format!("2024-03-{:02}", 1 + value(n) % DAYS),
            Sample::Uuid(value) => uuid(value(n)),
            Sample::Text(value) | Sample::Jsonb(value) => value(n),
        };
        text.into_bytes()
    }

    /// The value of row `n` in binary.
    #[must_use]
    pub fn binary(self, n: u64) -> Vec<u8> {
        match self {
            Sample::Bigint(value) => value(n).to_be_bytes().into(),
            Sample::Int(value) => value(n).to_be_bytes().into(),
            Sample::Bool(value) => vec![u8::from(value(n))],
            Sample::Double(value) => value(n).to_be_bytes().into(),
            Sample::Numeric(value) => numeric(value(n)),
            Sample::Timestamptz(value) => {
                let us = value(n) % (DAYS * DAY_SECONDS * 1_000_000);
                (MARCH * DAY_SECONDS * 1_000_000 + us).to_be_bytes().into()
            }
            Sample::Date(value) => ((MARCH + value(n) % DAYS) as u32).to_be_bytes().into(),
            Sample::Uuid(value) => value(n).to_be_bytes().into(),
            Sample::Text(value) => value(n).into(),
            Sample::Jsonb(value) => [&[1], value(n).as_bytes()].concat(),
        }
    }
}

fn timestamp(us: u64) -> String {
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    let (day, second) = (1 + seconds / DAY_SECONDS % DAYS, seconds % DAY_SECONDS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("2024-03-{day:02} {hour:02}:{minute:02}:{second:02}.{us:06}+00")
}

fn uuid(value: u128) -> String {
    let digits = format!("{value:032x}");
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Digits to the base 10,000 without zeros at either end; the first counts 10,000 to the power of the weight.
fn numeric(hundredths: u64) -> Vec<u8> {
    let (whole, cents) = (hundredths / 100, hundredths % 100 * 100);
    let digits = [whole / 10_000, whole % 10_000, cents];
    let from = digits.iter().position(|digit| *digit > 0).unwrap_or(3);
    let to = digits
        .iter()
        .rposition(|digit| *digit > 0)
        .map_or(from, |at| at + 1);
    let digits = digits.get(from..to).unwrap_or_default();
    let weight = if digits.is_empty() {
        0
    } else {
        1 - from as i16
    };
    let head = [digits.len() as u16, weight as u16, 0, 2];
    let digits = digits.iter().map(|digit| *digit as u16);
    head.into_iter()
        .chain(digits)
        .flat_map(u16::to_be_bytes)
        .collect()
}
