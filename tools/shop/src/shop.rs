//! The shop: two tables with the types that shops have, and somebody who keeps buying.

use std::time::{Duration, Instant};

use blacksmith_tests::db::Session;
use blacksmith_tests::dice::Dice;

/// Customers before trading begins.
pub(crate) const CUSTOMERS: u64 = 40_000;
/// Orders before trading begins.
pub(crate) const ORDERS: u64 = 160_000;

/// The tables, as they are called in the lake.
pub(crate) const TABLES: [&str; 2] = ["public.customers", "public.orders"];

/// Makes the tables and fills them.
pub(crate) fn open(session: &mut Session) {
    session.execute(&format!(
        "create table customers (
             id bigint generated always as identity primary key,
             email text not null unique,
             name text not null,
             credit numeric(12, 2) not null default 0,
             tags text[] not null default '{{}}',
             profile jsonb not null default '{{}}',
             created_at timestamptz not null default now());
         create table orders (
             id bigint generated always as identity primary key,
             customer_id bigint not null,
             total numeric(14, 4) not null,
             quantities int[] not null,
             details jsonb,
             placed_at timestamptz not null default now(),
             shipped_on date);
         insert into customers (email, name, credit, tags, profile, created_at)
         select 'customer' || n || '@example.com', 'Customer ' || n, (n % 5000) / 4.0,
             array['tag' || n % 7, 'tag' || n % 11],
             jsonb_build_object('level', n % 5, 'note', repeat('x', (n % 40)::int)),
             timestamptz '2025-01-01 00:00:00+00' + n * interval '1 minute'
         from generate_series(1, {CUSTOMERS}) n;
         insert into orders (customer_id, total, quantities, details, placed_at, shipped_on)
         select 1 + n % {CUSTOMERS}, (n % 100000) / 16.0, array[n % 9, n % 4, null]::int[],
             case when n % 3 > 0 then jsonb_build_object('items', n % 9, 'gift', n % 2 = 0) end,
             timestamptz '2025-06-01 00:00:00+00' + n * interval '7 seconds',
             case when n % 2 = 0 then date '2025-06-02' + (n % 300)::int end
         from generate_series(1, {ORDERS}) n;"
    ));
}

/// Trades for `time`, one small transaction after the other; returns how many.
pub(crate) fn trade(session: &mut Session, time: Duration) -> u64 {
    let started = Instant::now();
    let mut dice = Dice::new(started.elapsed().as_nanos() as u64 ^ u64::from(std::process::id()));
    let mut trades = 0;
    while started.elapsed() < time {
        session.execute(&one_trade(&mut dice));
        trades += 1;
    }
    trades
}

fn one_trade(dice: &mut Dice) -> String {
    let customer = dice.between(1, CUSTOMERS);
    let order = dice.between(1, ORDERS);
    let count = dice.between(1, 20);
    match dice.below(10) {
        0..=3 => format!(
            "insert into orders (customer_id, total, quantities, details)
             select {customer}, n * 1.0625, array[n, n + 1], jsonb_build_object('line', n)
             from generate_series(1, {count}) n"
        ),
        4..=6 => format!(
            "begin;
             update orders set shipped_on = current_date, total = total + 0.5
             where id between {order} and {order} + {count};
             update customers set credit = credit - 1.25, tags = array_append(tags, 'buyer') where id = {customer};
             commit"
        ),
        7 => format!(
            "insert into customers (email, name) values (gen_random_uuid() || '@example.com', 'New {count}')"
        ),
        8 => format!("delete from orders where id between {order} and {order} + {count}"),
        _ => format!(
            "begin;
             savepoint hesitation;
             delete from customers where id = {customer};
             rollback to hesitation;
             update customers set profile = profile || '{{\"seen\": {count}}}' where id = {customer};
             commit"
        ),
    }
}
