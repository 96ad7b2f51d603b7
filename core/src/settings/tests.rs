use super::*;

const GOOD: &str = r#"
[application]
name = "shop"

[store]
path = "data"
segment_bytes = "16MiB"
retention = { max_age = "2d", max_bytes = "1GiB" }

[memory]
cap = "256MiB"

[sources.shop]
driver = "postgres"
url = "postgres://u:hunter2@db/shop"
tables = ["public.*"]

[destinations.lake]
driver = "parquet"
path = "lake"
schedule = { realtime = true, backoff = { initial = "2s", max = "1m" } }
batch = { max_rows = 1_000, max_age = "3s" }

[destinations.lake.actions.append]
schedule = { max_retries = 3 }
batch = { max_bytes = "1MiB" }

[[flows]]
from = "shop/public.*"
to = "lake"
"#;

fn read(text: &str) -> Settings {
    read_with(text, &Environment::default())
}

fn read_with(text: &str, environment: &Environment) -> Settings {
    Settings::parse("blacksmith.toml", text, environment).unwrap()
}

/// The problems of `text`, one per line.
fn problems(text: &str) -> Vec<String> {
    problems_with(text, &Environment::default())
}

fn problems_with(text: &str, environment: &Environment) -> Vec<String> {
    match Settings::parse("b.toml", text, environment) {
        Ok(settings) => lines(settings.problems.into_error()),
        Err(error) => lines(Some(error)),
    }
}

fn lines(error: Option<crate::error::Error>) -> Vec<String> {
    let text = error.map(|error| error.to_string()).unwrap_or_default();
    text.lines()
        .skip(1)
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn a_whole_file_is_read_without_a_problem() {
    let settings = read(GOOD);
    settings.problems.check().unwrap();
    assert_eq!(settings.application, "shop");
    assert_eq!(settings.memory_bytes, 256 << 20);
    assert_eq!(settings.store.segment_bytes, 16 << 20);
    assert_eq!(settings.store.retention.age_max.as_secs(), 2 * 86_400);
    assert!(settings.store.sync);
    let lake = &settings.destinations[0];
    let schedule = lake.schedule_of("append", &Default::default());
    assert!(schedule.realtime && schedule.max_retries == 3 && schedule.max_retries_explicit);
    assert_eq!(schedule.backoff.unwrap().max.as_secs(), 60);
    assert!(
        !lake
            .schedule_of("other", &Default::default())
            .max_retries_explicit
    );
    let batch = lake.batch_of("append");
    assert_eq!(
        (batch.rows_max, batch.bytes_max, batch.age_max.as_secs()),
        (1_000, 1 << 20, 3)
    );
    assert!(settings.flows[0].leads("shop", "public.orders", "lake", "append"));
    assert!(!settings.flows[0].leads("shop", "audit.log", "lake", "append"));
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = read("");
    settings.problems.check().unwrap();
    assert_eq!(settings.application, "blacksmith");
    assert_eq!(settings.memory_bytes, MEMORY_BYTES_DEFAULT);
    assert_eq!(settings.store.path, Path::new("blacksmith-data"));
    assert_eq!(settings.store.segment_bytes, 64 << 20);
    assert_eq!(settings.store.retention.age_max.as_secs(), 7 * 86_400);
    assert_eq!(settings.store.retention.bytes_max, 10 << 30);
    assert_eq!(Batch::default().bytes_max, 128 << 20);
}

#[test]
fn a_store_is_the_log_unless_it_is_said_to_be_in_memory() {
    assert_eq!(read("").store.driver, StoreDriver::Log);
    let settings = read("[store]\ndriver = 'memory'");
    assert_eq!(settings.store.driver, StoreDriver::Memory);
}

#[test]
fn each_mistake_names_its_key_its_line_and_a_remedy() {
    for (text, expected) in [
        (
            "[store]\npaht = 'x'",
            "b.toml:2:1: store.paht: unknown key (did you mean \"path\"?)",
        ),
        (
            "[stroe]\n",
            "b.toml:1:2: stroe: unknown key (did you mean \"store\"?)",
        ),
        (
            "[store]\ndriver = 'lgo'",
            "b.toml:2:10: store.driver: \"lgo\": not a known value (did you mean \"log\"?)",
        ),
        (
            "[store]\npath = 3",
            "b.toml:2:8: store.path: expected a string, found an integer",
        ),
        (
            "[store]\nsegment_bytes = '12 bananas'",
            "b.toml:2:17: store.segment_bytes: \"12 bananas\": the unit is not one of B, kB, KiB, MB, MiB, GB, GiB, TB, TiB (write 128MiB or a number of bytes)",
        ),
        (
            "[store]\nsegment_bytes = 5",
            "b.toml:2:17: store.segment_bytes: out of range (from 1MiB to 4GiB)",
        ),
        (
            "[store.retention]\nmax_age = '7 fortnights'",
            "b.toml:2:11: store.retention.max_age: \"7 fortnights\": the unit is not one of ns, us, ms, s, m, h, d, w (write 10s, 5m, 1h30m or 7d)",
        ),
        (
            "[memory]\ncap = '1MiB'",
            "b.toml:2:7: memory.cap: too little memory (at least 64MiB)",
        ),
        (
            "[memory]\ncap = 99999999999999999999",
            "b.toml:2:1: memory.cap: the number is too large (at most 9223372036854775807)",
        ),
        (
            "[sources.shop]\n",
            "b.toml:1:10: sources.shop.driver: this key is required (add driver = … under [sources.shop])",
        ),
        (
            "[sources.'a b']\ndriver = 'x'",
            "b.toml:1:10: sources.\"a b\": not a name (use letters, digits, _ and -, at most 63)",
        ),
        (
            "sources = 3",
            "b.toml:1:11: sources: expected a table, found an integer",
        ),
        (
            "flows = 3",
            "b.toml:1:9: flows: expected a list of tables, each under [[flows]], found an integer",
        ),
        (
            "[destinations.l]\ndriver = 'x'\nschedule = { interval = '* *' }",
            "b.toml:3:25: destinations.l.schedule.interval: \"* *\": not an interval: a cron pattern has 5 or 6 fields, this one has 2",
        ),
        (
            "[destinations.l]\ndriver = 'x'\nschedule = { realtime = 'yes' }",
            "b.toml:3:25: destinations.l.schedule.realtime: expected true or false, found a string",
        ),
        (
            "[destinations.l]\ndriver = 'x'\nschedule = { max_retries = -1 }",
            "b.toml:3:28: destinations.l.schedule.max_retries: expected a whole number, 0 or more, found an integer",
        ),
        (
            "[destinations.l]\ndriver = 'x'\nschedule.backoff = { initial = '5s' , max = '1s' }",
            "b.toml:3:45: destinations.l.schedule.backoff.max: less than initial (make it at least as long)",
        ),
        (
            "[destinations.l]\ndriver = 'x'\nbatch = { max_rows = 0 }",
            "b.toml:3:22: destinations.l.batch.max_rows: out of range: from 1 to",
        ),
        (
            "[store]\npath = '${NOWHERE}'",
            "b.toml:2:8: store.path: environment variable NOWHERE is not set (set it, or give a default: ${NOWHERE:-value})",
        ),
        (
            "[store]\npath = '${NOWHERE:?ask ops}'",
            "b.toml:2:8: store.path: environment variable NOWHERE is not set or empty (ask ops)",
        ),
        (
            "[store]\npath = '${A B}'",
            "b.toml:2:8: store.path: not a variable (write ${NAME}, ${NAME:-default} or ${NAME:?message}; $${ is a literal ${)",
        ),
        (
            "[store]\npath = '${OPEN'",
            "b.toml:2:8: store.path: ${ is not closed",
        ),
        (
            "[store]\npath = '${A:-${B}}'",
            "b.toml:2:8: store.path: a default is plain text, it cannot hold another ${",
        ),
        ("[store]\npath = \n", "b.toml:2:"),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{text}\n{expected}\n{found:#?}"
        );
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "
[destinations.lake]
driver = 'parquet'
batch = { max_age = 'soon' }
[store]
driver = 'kafka'
colour = 'red'
[[flows]]
from = 'shop'
to = 'lake/append'
";
    let found = problems(text);
    let starts = ["b.toml:4:21:", "b.toml:6:10:", "b.toml:7:1:", "b.toml:9:8:"];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (line, start) in found.iter().zip(starts) {
        assert!(
            line.starts_with(start),
            "{line} does not start with {start}"
        );
    }
}

#[test]
fn a_missing_variable_is_one_problem_and_its_reader_adds_none() {
    let text = "[store]\nsegment_bytes = '${NOWHERE}'\n[sources.s]\ndriver = 'x'\ntables = ['a', '${NOWHERE}']";
    let mut settings = read(text);
    let section = &mut settings.sources[0].section;
    assert_eq!(section.take_list("tables").required(), None);
    let found = lines(settings.problems.into_error());
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("store.segment_bytes: environment variable NOWHERE is not set"));
    assert!(found[1].contains("sources.s.tables[1]: environment variable NOWHERE is not set"));
}

#[test]
fn several_syntax_errors_are_told_at_once() {
    let found = problems("[store]\npath = \nsync = = 1\n");
    assert!(found.len() >= 2, "{found:#?}");
    assert!(found.iter().all(|line| line.contains("not valid TOML")));
}

#[test]
fn a_flow_must_name_what_exists() {
    let text = "
[sources.shop]
driver = 'x'
[destinations.lake]
driver = 'y'
[[flows]]
from = 'shpo'
to = 'lake/'
[[flows]]
from = 'shop/public.*'
to = '*'
[[flows]]
to = 'lake'
form = 'shop'
";
    let found = problems(text);
    let expected = [
        "b.toml:7:8: flows[0].from: there is no such source (did you mean \"shop\"?)",
        "b.toml:8:6: flows[0].to: a name is missing before or after the slash (write \"destination\" or \"destination/part\", with * as wildcard in the part)",
        "b.toml:11:6: flows[1].to: there is no such destination (known: lake)",
        "b.toml:12:1: flows[2].from: this key is required (add from = … under [flows[2]])",
        "b.toml:14:1: flows[2].form: unknown key (did you mean \"from\"?)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn drivers_report_into_the_same_list() {
    let mut settings =
        read("[sources.shop]\ndriver = 'postgres'\nulr = 'x'\nworkers = 99\n[store]\nx = 1");
    let mut section = settings.sources.remove(0).section;
    assert_eq!(section.take_secret("url").required(), None);
    assert_eq!(section.take_u64("workers").within(1, 64).or(2), 2);
    section.finish();
    let found = lines(settings.problems.into_error());
    let expected = [
        "blacksmith.toml:1:10: sources.shop.url: this key is required (add url = … under [sources.shop])",
        "blacksmith.toml:3:1: sources.shop.ulr: unknown key (did you mean \"url\"?)",
        "blacksmith.toml:4:11: sources.shop.workers: out of range: from 1 to 64",
        "blacksmith.toml:6:1: store.x: unknown key (known: driver, path, purge, reserve_bytes, retention, segment_bytes, sync)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_driver_can_judge_a_value_and_point_at_it() {
    let mut settings = read("[sources.shop]\ndriver = 'postgers'\nurl = 'nonsense'");
    let source = settings.sources.remove(0);
    let mut section = source.section;
    section.report_unknown("driver", &source.driver, &["postgres", "http"]);
    let _url = section.take_secret("url").required();
    section.report(
        "url",
        "not a Postgres URL",
        "write postgres://user@host/database",
    );
    let found = lines(settings.problems.into_error());
    let expected = [
        "blacksmith.toml:2:10: sources.shop.driver: not a known value (did you mean \"postgres\"?)",
        "blacksmith.toml:3:7: sources.shop.url: not a Postgres URL (write postgres://user@host/database)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn secrets_never_show_in_problems_or_debug_output() {
    let environment = Environment::of([
        ("URL", "postgres://u:hunter2@db/shop"),
        ("BLACKSMITH__STORE__SEGMENT_BYTES", "hunter2"),
        ("BLACKSMITH__STORE__DRIVER", "hunter2"),
    ]);
    let text = "
[store]
sync = 'password=hunter2'
[store.retention]
max_age = 'postgres://u:hunter2@db/shop'
max_bytes = '${URL}'
[sources.shop]
driver = 'postgres'
url = '${URL}'
";
    let settings = read_with(text, &environment);
    let shown = format!(
        "{settings:?} {:?} {environment:?}",
        settings.problems.into_error()
    );
    assert_eq!(settings.problems.list().len(), 5, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let mut section = settings.sources[0].section.clone();
    let url = section.take_secret("url").required().unwrap();
    assert_eq!(url.expose(), "postgres://u:hunter2@db/shop");
    assert_eq!(format!("{url:?}"), "***");
}

#[test]
fn variables_fill_strings_and_take_the_type_that_is_read() {
    let environment = Environment::of([
        ("DIR", "lake"),
        ("EMPTY", ""),
        ("CAP", "128MiB"),
        ("SYNC", "never"),
    ]);
    let text = "
[application]
name = '${EMPTY:-fallback}'
[store]
path = '/srv/${DIR}/${NONE:-x}$${kept}$'
sync = '${SYNC}'
[memory]
cap = '${CAP}'
[destinations.lake]
driver = 'parquet'
schedule = { realtime = '${NONE:-true}', max_retries = '${NONE:-7}' }
";
    let settings = read_with(text, &environment);
    settings.problems.check().unwrap();
    assert_eq!(settings.application, "fallback");
    assert_eq!(settings.store.path, Path::new("/srv/lake/x${kept}$"));
    assert!(!settings.store.sync);
    assert_eq!(settings.memory_bytes, 128 << 20);
    let schedule = &settings.destinations[0].schedule;
    assert_eq!(
        (schedule.realtime, schedule.max_retries),
        (Some(true), Some(7))
    );
}

#[test]
fn what_a_variable_holds_cannot_add_keys_or_be_expanded_again() {
    let evil = "x\"\nsync = \"never\"\n# ${HOME}";
    let environment = Environment::of([
        ("EVIL", evil),
        ("HOME", "/root"),
        ("BLACKSMITH__APPLICATION__NAME", "n"),
    ]);
    let settings = read_with(
        "[store]\npath = \"${EVIL}\" # ${UNSET} in a comment",
        &environment,
    );
    settings.problems.check().unwrap();
    assert_eq!(settings.store.path, Path::new(evil));
    assert!(settings.store.sync, "no key came out of the variable");
}

#[test]
fn any_key_can_be_overridden_from_the_environment() {
    let environment = Environment::of([
        ("BLACKSMITH__STORE__SEGMENT_BYTES", "32MiB"),
        ("BLACKSMITH__SOURCES__MY_SHOP__TABLES", "public.a, public.b"),
        (
            "BLACKSMITH__SOURCES__MY_SHOP__URL",
            "postgres://${NOT_EXPANDED}",
        ),
        ("BLACKSMITH__DESTINATIONS__LAKE__SCHEDULE__REALTIME", "true"),
        ("BLACKSMITH__DESTINATIONS__LAKE__BATCH__MAX_ROWS", "5_000"),
        ("BLACKSMITH__FLOWS__0__TO", "lake"),
        ("BLACKSMITH_LOG", "debug"),
    ]);
    let text = "
[sources.My-Shop]
driver = 'postgres'
tables = ['public.*']
[destinations.lake]
driver = 'parquet'
[[flows]]
from = 'My-Shop'
to = 'nowhere'
";
    let mut settings = read_with(text, &environment);
    settings.problems.check().unwrap();
    assert_eq!(settings.store.segment_bytes, 32 << 20);
    assert_eq!(settings.destinations[0].schedule.realtime, Some(true));
    assert_eq!(settings.destinations[0].batch.rows_max, 5_000);
    assert_eq!(settings.flows[0].destination, "lake");
    let section = &mut settings.sources[0].section;
    assert_eq!(
        section.take_list("tables").optional().unwrap(),
        ["public.a", "public.b"]
    );
    assert_eq!(
        section.take_str("url").optional().unwrap(),
        "postgres://${NOT_EXPANDED}"
    );
}

#[test]
fn a_wrong_override_names_its_variable() {
    for (name, expected) in [
        (
            "BLACKSMITH__STORE__PAHT",
            "environment variable BLACKSMITH__STORE__PAHT: store.paht: unknown key (did you mean \"path\"?)",
        ),
        (
            "BLACKSMITH__STORE__SEGMENT_BYTES",
            "environment variable BLACKSMITH__STORE__SEGMENT_BYTES: store.segment_bytes: the unit is not one of",
        ),
        (
            "BLACKSMITH__STORE__PATH__X",
            "environment variable BLACKSMITH__STORE__PATH__X: \"path\" is a single value",
        ),
        (
            "BLACKSMITH__STORE____PATH",
            "environment variable BLACKSMITH__STORE____PATH: a part of the name is empty",
        ),
        (
            "BLACKSMITH__FLOWS__7__TO",
            "environment variable BLACKSMITH__FLOWS__7__TO: \"flows\" is a list with the items 0 to 0",
        ),
    ] {
        let text = "[store]\npath = 'x'\n[sources.s]\ndriver = 'x'\n[destinations.d]\ndriver = 'x'\n[[flows]]\nfrom = 's'\nto = 'd'";
        let found = problems_with(text, &Environment::of([(name, "cheese")]));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(expected), "{name}: {found:#?}");
    }
}

#[test]
fn a_missing_file_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        Settings::load(&folder.path().join("none.toml"), &Environment::default()).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Config);
    assert!(error.advised().unwrap().contains("--config"), "{error:?}");
}

#[test]
fn a_file_that_is_not_text_or_far_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.toml");
    for (bytes, reason) in [
        (vec![0xff, 0xfe], "not UTF-8"),
        (vec![b'#'; (1 << 20) + 1], "larger than 1 MiB"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let error = Settings::load(&file, &Environment::default()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// STO-08
#[test]
fn a_purge_policy_names_final_states_only() {
    let text = "[[store.purge]]\ninterval = '@weekly'\nstatus = ['succeeded']\nolder_than = '7d'";
    let settings = read(text);
    let [policy] = &settings.store.purges[..] else {
        panic!("{:?}", settings.store.purges);
    };
    assert_eq!(policy.interval.as_str(), "@weekly");
    assert_eq!(policy.purge.statuses, [crate::job::Status::Succeeded]);
    let found = problems(&text.replace("succeeded", "failed"));
    let told = found.iter().any(|line| line.contains("no final status"));
    assert!(told, "{found:#?}");
}

/// SVC-06
#[test]
fn services_say_where_they_answer_and_what_clients_may_do() {
    let settings = read(
        "[gateway]\naddress = ':9090'\nroom_timeout = '2s'\ntls = { certificate = 'c.pem', key = 'k.pem' }\n\
         limits = { body = '1MiB', connections = 10, header_timeout = '3s' }\nidempotency = { window = '1h', keys = 5 }\n\
         [scheduler]\naddress = 'unix:/run/b.sock'\n",
    );
    settings.problems.check().unwrap();
    let gateway = &settings.gateway;
    assert_eq!(gateway.service.address, "0.0.0.0:9090".parse().ok());
    assert_eq!(
        gateway.service.tls.as_ref().unwrap().key,
        Path::new("k.pem")
    );
    let limits = &gateway.service.limits;
    assert_eq!(
        (limits.body_bytes_max, limits.connections_max),
        (1 << 20, 10)
    );
    assert_eq!(limits.header_timeout.as_secs(), 3);
    assert_eq!(
        limits.request_timeout,
        HttpLimits::default().request_timeout
    );
    assert_eq!(gateway.room_timeout.as_secs(), 2);
    assert_eq!(
        (gateway.keeping.window.as_secs(), gateway.keeping.keys_max),
        (3_600, 5)
    );
    assert_eq!(
        settings.scheduler.service.address,
        Some(Address::Unix("/run/b.sock".into()))
    );
    assert_eq!(read("").gateway, GatewaySettings::default());
}

#[test]
fn problems_of_services_are_told_with_the_others() {
    let found = problems(
        "[gateway]\naddress = 'here'\nport = 1\nlimits = { body = '1TiB', request_timeout = '0s' }\n\
         tls = { certificate = 'c.pem' }\n[scheduler]\nidempotency = {}\n",
    );
    for key in [
        "gateway.address: ",
        "gateway.port: unknown key",
        "gateway.limits.body: ",
        "gateway.limits.request_timeout: ",
        "gateway.tls.key: ",
        "scheduler.idempotency: unknown key",
    ] {
        assert!(
            found.iter().any(|line| line.contains(key)),
            "{key} in {found:#?}"
        );
    }
    assert_eq!(found.len(), 6, "{found:#?}");
}
