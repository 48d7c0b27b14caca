//! How a shard takes a connection over from the gateway.

use std::sync::Arc;

use livegate_proto::client::CloseCode;
use smallvec::SmallVec;

use crate::clock::Moment;
use crate::dispatch::SessionEvent;
use crate::event::Origin;
use crate::id::SessionId;
use crate::session::mailbox::Mailbox;
use crate::session::{Actions, Opening, Session};
use crate::shard::adopted::Adopted;
use crate::shard::carrier::Carrier;
use crate::shard::connection::{Connection, Ending, Tally};
use crate::shard::io::FrameIo;
use crate::shard::state::State;

/// When one that comes in while the gateway stops may come back.
const DRAIN_RETRY_MS: u32 = 1_000;

impl<C: Carrier> State<C> {
    /// Takes a connection over: attaches it to this thread's reactor, gives it
    /// its session id, displaces what its login displaces, answers the login,
    /// and looks at what the client had sent by then.
    pub(crate) fn adopt(&mut self, adopted: Adopted<C::Detached>, now: Moment) {
        let transport = adopted.transport;
        let Some((id, hello)) = self.seat(adopted, now) else {
            self.scratch.clear();
            self.uncount();
            return;
        };
        self.parts.counters().opened(transport);
        self.newcomers.push(id);
        self.act(id, hello, now);
        self.take_frames(id, now);
        if self.draining {
            let code = CloseCode::ShuttingDown;
            self.close(id, Ending::Closed(code), DRAIN_RETRY_MS, now);
        }
    }

    /// Gives the connection a slot and its user a session.
    fn seat(&mut self, adopted: Adopted<C::Detached>, now: Moment) -> Option<(SessionId, Actions)> {
        let opening = Opening {
            request_id: adopted.request_id,
            jitter: self.jitter(),
            calls: self.parts.actions.takes_calls(adopted.login.key.app),
        };
        let Adopted {
            io,
            login,
            peer,
            transport,
            permit,
            ..
        } = adopted;
        let io = FrameIo::<C>::attach(io, &mut self.scratch)
            .inspect_err(|error| tracing::warn!(%error, "connection could not be taken over"))
            .ok()?;
        let actions = Arc::clone(&self.parts.actions);
        let devices = actions.devices(login.key.app);
        let config = Arc::clone(&self.parts.session);
        let origin = Origin::Client(login.platform, peer.ip());
        let whose = login.key.clone();
        let (user, platform) = (login.key.clone(), login.platform.into());
        let (mut displaced, mut hello) = (SmallVec::new(), SmallVec::new());
        let id = self.slots.insert_with(|id| {
            let online = actions.online();
            let (registration, gone) = online.register(user, id, platform, devices);
            displaced = gone;
            let (session, said) = Session::new(login.into_identity(id), opening, config, now);
            hello = said;
            Connection {
                io,
                waker: None,
                session,
                joined: SmallVec::new(),
                mailbox: Mailbox::default(),
                blocked: None,
                closing: None,
                last_seen: now.instant,
                timer: None,
                opened: now,
                peer,
                transport,
                tally: Tally::default(),
                registration: Some(registration),
                permit: Some(permit),
            }
        });
        if id.is_none() {
            tracing::warn!("every slot of this shard is taken");
        }
        let platforms: SmallVec<[i32; 2]> = displaced.iter().map(|(_, it)| *it).collect();
        actions.report_login(&whose, origin, &platforms, now.unix);
        for (old, _) in displaced {
            let close = SessionEvent::Close(CloseCode::Displaced, 0);
            self.parts.dispatch.event(old, close);
        }
        Some((id?, hello))
    }
}
