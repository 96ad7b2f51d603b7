//! The HTTP side of both services: what is set, what is served, and when it stops.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;

use super::Application;
use super::census::Census;
use crate::admin::{self, Access};
use crate::error::Result;
use crate::gateway::http::{Gateway, HttpTrigger, Middleware, Options};
use crate::server::{Address, Health, Metrics, Router, Running, Server, house};
use crate::service::Service as ServiceInfo;
use crate::settings::{GATEWAY_ADDRESS, GatewaySettings, SchedulerSettings, ServiceSettings};
use crate::source::Listening;

/// How long the command line waits for an order that concerns very many jobs.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);

/// Where and how the services answer.
#[derive(Debug, Default)]
pub(super) struct Http {
    gateway: GatewaySettings,
    scheduler: SchedulerSettings,
    /// Middleware and attached handlers of the gateway; the rest of it comes from its settings.
    options: Options,
    /// Routes on the scheduler's side, besides the house's.
    admin: Router,
    /// Where this process answers its own command line.
    socket: Option<PathBuf>,
    health: Arc<Health>,
    /// What its lanes have done.
    pub(super) census: Arc<Census>,
    metrics: Arc<Metrics>,
    /// Whether the process watches itself already.
    watched: OnceLock<()>,
}

impl Application {
    /// Sets where and how the gateway answers. Default: at [`GATEWAY_ADDRESS`] if a source has HTTP triggers, else nowhere.
    #[must_use]
    pub fn gateway_settings(mut self, settings: GatewaySettings) -> Application {
        self.http.gateway = settings;
        self
    }

    /// Sets where and how the scheduler answers: health, metrics and the admin side, and who may give orders there.
    /// Default: nowhere.
    #[must_use]
    pub fn scheduler_settings(mut self, settings: SchedulerSettings) -> Application {
        self.http.scheduler = settings;
        self
    }

    /// Wraps the gateway's routes and what is attached under `/api`, the last call outermost: the place for authentication, CORS
    /// and headers.
    #[must_use]
    pub fn middleware(
        mut self,
        wrap: impl Fn(Router) -> Router + Send + Sync + 'static,
    ) -> Application {
        let wrap: Middleware = Arc::new(wrap);
        self.http.options.middleware.push(wrap);
        self
    }

    /// Serves handlers of the application's own under the gateway's `/api`.
    #[must_use]
    pub fn attach(mut self, router: Router) -> Application {
        let attached = self.http.options.attached.take().unwrap_or_default();
        self.http.options.attached = Some(attached.merge(router));
        self
    }

    /// Serves further routes on the scheduler's side, which is private. The house's own are those of [`crate::admin`].
    #[must_use]
    pub fn admin(mut self, router: Router) -> Application {
        self.http.admin = self.http.admin.merge(router);
        self
    }

    /// Answers the scheduler's routes also on a socket at `path`, which only the process's own user may use (mode 0600): how a command line
    /// talks to a running process. Default: nowhere.
    #[must_use]
    pub fn admin_socket(mut self, path: PathBuf) -> Application {
        self.http.socket = Some(path);
        self
    }

    /// What decides whether this process is ready; checks may be added.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.http.health
    }

    /// What this process counts; collectors may be added.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.http.metrics
    }
}

/// Serves HTTP triggers, and health and metrics, until `listening.stop`.
///
/// # Errors
/// Every problem of the routes, or the address cannot be had.
pub(super) async fn gateway(
    app: &Application,
    triggers: Vec<HttpTrigger>,
    listening: &Listening,
    running: &mut JoinSet<Result<()>>,
) -> Result<()> {
    if listening.until_end {
        return Ok(());
    }
    let settings = &app.http.gateway;
    let address = match &settings.service.address {
        Some(address) => address.clone(),
        None if triggers.is_empty() => return Ok(()),
        None => GATEWAY_ADDRESS.parse()?,
    };
    let gateway = Gateway::new(
        triggers,
        Options {
            limits: settings.service.limits.clone(),
            room_timeout: settings.room_timeout,
            keeping: settings.keeping,
            ..app.http.options.clone()
        },
    )?;
    gateway.expose(&app.http.metrics);
    let server = start(
        app,
        ServiceInfo::GATEWAY,
        address,
        &settings.service,
        gateway.router(),
    );
    let server = server.await?;
    let stop = listening.stop.clone();
    running.spawn(async move {
        stop.cancelled().await;
        gateway.ask_to_stop();
        server.stop().await;
        Ok(())
    });
    Ok(())
}

/// The servers of the admin side, which go when the process does.
#[derive(Debug)]
pub(super) struct Admin(Vec<Running>);

impl Admin {
    /// Serves health, metrics and the admin side: on the socket, and for the scheduler (`scheduler`) where it is told to.
    ///
    /// # Errors
    /// The scheduler's address cannot be had.
    pub(super) async fn start(app: &Application, scheduler: bool) -> Result<Admin> {
        let settings = &app.http.scheduler;
        let access = Access::new(settings.token.clone());
        let own = app.http.admin.clone();
        let router = own.merge(admin::router(&app.operator, access));
        let mut running = Vec::new();
        if let Some(address) = settings.service.address.clone().filter(|_| scheduler) {
            let name = ServiceInfo::SCHEDULER;
            let own = start(app, name, address, &settings.service, router.clone());
            running.push(own.await?);
        }
        if let Some(path) = app.http.socket.clone() {
            let mut settings = ServiceSettings::default();
            settings.limits.request_timeout = ORDER_TIMEOUT;
            let address = Address::Unix(path);
            match start(app, "blacksmith-admin", address, &settings, router).await {
                Ok(server) => running.push(server),
                // The process can do its work without.
                Err(error) => {
                    tracing::warn!(error = %error.report(), "the command line cannot reach this process");
                }
            }
        }
        Ok(Admin(running))
    }

    /// Lets requests in hand come to their end.
    pub(super) async fn stop(self) {
        for server in self.0 {
            server.stop().await;
        }
    }
}

async fn start(
    app: &Application,
    name: &'static str,
    address: Address,
    settings: &ServiceSettings,
    router: Router,
) -> Result<Running> {
    let (health, metrics) = (&app.http.health, &app.http.metrics);
    app.http.watched.get_or_init(|| super::standing::watch(app));
    Server::new(name, address, house(router, health, metrics))
        .tls(settings.tls.clone())
        .limits(settings.limits.clone())
        .metrics(metrics)
        .start()
        .await
}
