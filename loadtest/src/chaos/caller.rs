//! One connection of a chaos run: few of them, each decoded in full.

use std::time::Duration;

use livegate_client::{Connection, Disconnect, Heartbeat, Login};
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, reply};
use tokio::time::timeout;

use crate::client::{Failed, accepted, reason};
use crate::clock::Clock;
use crate::site::{Dialers, Site};

/// Most time for one request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Silence after something was sent that means a dead gateway.
const SILENCE: Duration = Duration::from_secs(2);

/// Where a chaos run takes place.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The gateway.
    pub(crate) site: Site,
    /// The run's dialers.
    pub(crate) dialers: Dialers,
    /// The run's clock.
    pub(crate) clock: Clock,
}

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Caller {
    connection: Connection,
}

impl Caller {
    /// Dials and logs in as `user`.
    pub(crate) async fn log_in(ground: &Ground, user: &str, quic: bool) -> Result<Self, Failed> {
        let site = &ground.site;
        let target = site.target(None);
        let mut connection = Connection::open(ground.dialers.of(quic), &target)
            .await
            .map_err(|error| error.to_string())?;
        let login = Login::new(site.app.id, user);
        let request = login.request(site.app.sign(user, ground.clock.unix()));
        let reply = connection.login(request, REQUEST_WITHIN).await;
        reply.map_err(|error| error.to_string())?;
        // Over QUIC nobody says that the gateway died: only silence does.
        connection.set_heartbeat(Heartbeat::Measured { silence: SILENCE });
        Ok(Self { connection })
    }

    /// Enters a room; pushes that come with the snapshot follow it.
    pub(crate) async fn enter(
        &mut self,
        room: &str,
    ) -> Result<(wire::RoomSnapshot, Vec<wire::Push>), Failed> {
        let mut pushes = Vec::new();
        let request = Body::EnterRoom(wire::EnterRoomRequest {
            room_id: room.to_owned(),
            profile: None,
        });
        let reply = self.ask(request, |push| pushes.push(push)).await?;
        match accepted("enter", reply)?.body {
            Some(reply::Body::EnterRoom(entered)) => {
                Ok((*entered.room.unwrap_or_default(), pushes))
            }
            _ => Err("enter: answered with another body".to_owned()),
        }
    }

    /// Sends a request and waits for its reply, whatever its code.
    pub(crate) async fn ask(
        &mut self,
        body: Body,
        mut push: impl FnMut(wire::Push),
    ) -> Result<wire::Reply, Failed> {
        let other = |frame: wire::ServerFrame| frame.pushes.into_iter().for_each(&mut push);
        let answer = timeout(REQUEST_WITHIN, self.connection.request(body, other)).await;
        answer
            .map_err(|_| "no answer to a request".to_owned())?
            .map_err(|gone| reason(&gone))
    }

    /// The next pushes; may be cancelled and called again.
    pub(crate) async fn next(&mut self) -> Result<Vec<wire::Push>, Disconnect> {
        Ok(self.connection.next().await?.pushes)
    }
}
