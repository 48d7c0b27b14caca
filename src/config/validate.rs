//! Values that parse but cannot work, before anything is bound.

use super::Config;

/// A key with its section, and what is wrong with it.
type Wrong = (String, String);

impl Config {
    /// Holds every section to its own rules, and the apps against each other.
    pub(super) fn validate(&self) -> Result<(), Wrong> {
        self.validate_sections()?;
        for (n, app) in self.apps.iter().enumerate() {
            let wrong =
                |key: &str, problem: &str| Err((format!("apps[{n}].{key}"), problem.into()));
            if app.sdk_app_id == 0 {
                return wrong("sdk_app_id", "must be the app's number, above 0");
            }
            let twice = |other: &super::App| other.sdk_app_id == app.sdk_app_id;
            if self.apps[..n].iter().any(twice) {
                return wrong("sdk_app_id", "another app has this number");
            }
            if app.devices.max_sessions == 0 {
                return wrong("devices.max_sessions", "must be at least 1");
            }
        }
        Ok(())
    }

    fn validate_sections(&self) -> Result<(), Wrong> {
        let own = |key: &str, problem: &str| (key.to_owned(), problem.to_owned());
        let within = |section: &str, key: &str, problem: &str| {
            (format!("{section}.{key}"), problem.to_owned())
        };
        self.listen
            .validate()
            .map_err(|bad| own(bad.key, bad.problem))?;
        self.tls
            .validate()
            .map_err(|bad| own(bad.key, bad.problem))?;
        self.gateway
            .validate()
            .map_err(|bad| own(bad.key, bad.problem))?;
        let session = self.session.validate();
        session.map_err(|bad| within("session", bad.key, bad.problem))?;
        let fanout = self.fanout.validate();
        fanout.map_err(|(key, problem)| within("fanout", key, problem))?;
        let rooms = self.rooms.validate();
        rooms.map_err(|bad| within("rooms", bad.key, bad.problem))?;
        let internal = self.internal.validate();
        internal.map_err(|bad| within("internal", bad.key, bad.problem))?;
        let log = self.log.validate();
        log.map_err(|bad| own("log.filter", &bad.to_string()))?;
        if !self.auth.apps.is_empty() {
            return Err(own(
                "auth.apps",
                "apps are tables of their own: write [[apps]]",
            ));
        }
        if !self.callback.apps.is_empty() {
            let problem =
                "callbacks belong to their apps: write [apps.callback] below its [[apps]]";
            return Err(own("callback.apps", problem));
        }
        Ok(())
    }

    /// Development mode knows a published key, so nobody else may reach it.
    pub(super) fn stays_home(&self) -> Result<(), Wrong> {
        let addresses = [
            ("listen.public", self.listen.public),
            ("internal.bind", self.internal.bind),
        ];
        match addresses.iter().find(|(_, at)| !at.ip().is_loopback()) {
            Some((key, at)) => Err((
                (*key).to_owned(),
                format!(
                    "development mode listens on loopback addresses only, not on {at}: \
                     its key is published"
                ),
            )),
            None => Ok(()),
        }
    }
}
