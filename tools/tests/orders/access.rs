//! Who may give orders to a running process.

use std::os::unix::fs::PermissionsExt;

use crate::endpoint::Endpoint;
use crate::house::House;
use crate::running::Running;

const TOKEN: &str = "an example of a token";
const RETRY: &str = "/admin/api/store/jobs/retry";
const EVERYTHING: &str = r#"{"filter": {"destination": ["*"]}, "dry_run": true}"#;

/// ADM-08
#[test]
fn over_tcp_an_order_needs_the_token_that_is_set_and_the_socket_is_its_owners_alone() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, "interval = '@every 1h'");
    house.configure("[scheduler]\naddress = '127.0.0.1:0'\ntoken = '${ADMIN_TOKEN}'\n");
    let mut command = house.command(&["run", "--service", "scheduler"]);
    command.env("ADMIN_TOKEN", TOKEN);
    let mut running = Running::serving(command, "blacksmith-scheduler");
    running.hear("\"service\":\"blacksmith-admin\"");
    let (status, told) = running.post(RETRY, EVERYTHING);
    assert_eq!((status, &told["statusCode"]), (401, &401.into()), "{told}");
    let wrong = "authorization: Bearer an example of a toke\r\n";
    assert_eq!(running.post_with(wrong, RETRY, EVERYTHING).0, 401);
    let right = format!("authorization: Bearer {TOKEN}\r\n");
    let (status, told) = running.post_with(&right, RETRY, EVERYTHING);
    assert_eq!((status, &told["data"]["taken"]), (200, &0.into()), "{told}");
    let socket = house.folder().join("data/admin.sock");
    let mode = std::fs::metadata(socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.stop();
    let short = house.command(&["run"]).env("ADMIN_TOKEN", "short").output();
    let short = short.unwrap();
    assert_eq!(short.status.code(), Some(78), "{short:?}");
    let said = String::from_utf8(short.stderr).unwrap();
    assert!(
        said.contains("scheduler.token") && !said.contains("\"short\""),
        "{said}"
    );
}

/// ADM-08
#[test]
fn without_a_token_orders_over_tcp_come_from_this_machine() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, "interval = '@every 1h'");
    house.configure("[scheduler]\naddress = '127.0.0.1:0'\n");
    let command = house.command(&["run", "--service", "scheduler"]);
    let running = Running::serving(command, "blacksmith-scheduler");
    let (status, told) = running.post(RETRY, EVERYTHING);
    assert_eq!((status, &told["data"]["taken"]), (200, &0.into()), "{told}");
    let other = "x-forwarded-host: example.com\r\n";
    assert_eq!(
        running.post_with(other, RETRY, "{}").0,
        400,
        "nothing is named"
    );
    running.stop();
}
