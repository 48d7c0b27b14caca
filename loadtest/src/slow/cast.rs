//! Who takes part: the rooms that are measured, the askers, and the backend that
//! pushes. Each of the two groups has a thread of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use livegate_proto::backend as wire;
use livegate_proto::backend::backend_service_client::BackendServiceClient;
use livegate_proto::client::{Priority, Reply, Text};
use livegate_proto::code::Code;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tonic::transport::Channel;

use super::guest::Guest;
use super::record::Group;
use super::scene::{Scene, Span};
use crate::client::Failed;
use crate::clock::Micros;
use crate::doors::with_key;
use crate::machine;
use crate::payload::{self, Stamp};
use crate::plan::Messages;
use crate::schedule::{Schedule, Turn};
use crate::site::{Dialers, Site};

/// Bytes of a message.
const PAYLOAD: usize = 200;
/// Rooms of the asking app into which its backend pushes.
const PUSHED_ROOMS: u32 = 10;
/// Listeners in each of these.
const PUSHED_LISTENERS: u32 = 5;
/// Pushes a second, over all of these.
const PUSHES: f64 = 50.0;
/// From one connection to the next of a thread.
const SPACING: Duration = Duration::from_millis(2);

/// Who takes part, and where.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    /// Rooms of the app that asks nothing.
    pub(super) rooms: u32,
    /// Listeners in each of these.
    pub(super) viewers: u32,
    /// Messages a second in each of these.
    pub(super) rate: f64,
    /// Who says a message a second that is asked about, each in a room of its
    /// own.
    pub(super) askers: u32,
    /// The app that asks nothing.
    pub(super) plain: Site,
    /// The app that asks.
    pub(super) asking: Site,
    /// Where the backend pushes.
    pub(super) internal: SocketAddr,
}

impl Cast {
    /// Connections of all of them.
    pub(super) fn connections(&self) -> usize {
        let measured = self.rooms * (1 + self.viewers) + PUSHED_ROOMS * PUSHED_LISTENERS;
        (measured + self.askers) as usize
    }
}

/// Who speaks, and how often.
#[derive(Debug, Clone, Copy)]
struct Speech {
    id: u32,
    rate: f64,
    /// 0.0 to 1.0: spreads the speakers over a period.
    shift: f64,
    role: Role,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    /// Nobody is asked; so many listen.
    Plain(u32),
    /// The backend is asked.
    Asker,
}

impl Speech {
    fn schedule(&self, span: Span) -> Schedule {
        schedule(self.rate, self.shift, span)
    }
}

fn schedule(rate: f64, shift: f64, span: Span) -> Schedule {
    let messages = Messages {
        text: rate,
        ..Messages::default()
    };
    let turn = Turn {
        publisher: 0,
        of: 1,
        shift,
    };
    Schedule::new(&messages, turn, span.from, span.to)
}

/// Starts a thread, held to `cpus`, that plays until the scene stops. What fails
/// in it is a fault of the record.
///
/// # Errors
/// When no thread can be started.
pub(super) fn start<F>(
    name: &str,
    cpus: &[usize],
    scene: &Arc<Scene>,
    play: impl FnOnce(Arc<Scene>) -> F + Send + 'static,
) -> Result<JoinHandle<()>>
where
    F: Future<Output = Result<()>>,
{
    let (cpus, scene) = (cpus.to_vec(), Arc::clone(scene));
    let thread = std::thread::Builder::new().name(name.to_owned());
    Ok(thread.spawn(move || {
        if let Err(error) = run(&cpus, &scene, play) {
            scene.record.lock().fault(format!("{error:#}"));
        }
    })?)
}

fn run<F>(cpus: &[usize], scene: &Arc<Scene>, play: impl FnOnce(Arc<Scene>) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    machine::pin(cpus)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let played = scene.stop.run_until_cancelled(play(Arc::clone(scene)));
    runtime.block_on(played).unwrap_or(Ok(()))
}

/// The rooms that are measured.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) async fn measured(scene: Arc<Scene>, cast: Cast) -> Result<()> {
    let dialers = Arc::new(cast.plain.dialers()?);
    let mut tasks = JoinSet::new();
    for room in 0..cast.rooms {
        let name = format!("plain-{room}");
        for viewer in 0..cast.viewers {
            let (scene, site, dialers) = (scene.clone(), cast.plain.clone(), dialers.clone());
            let (user, name) = (format!("viewer-{room}-{viewer}"), name.clone());
            tasks.spawn(listen(scene, site, dialers, user, name, Group::Plain));
            sleep(SPACING).await;
        }
        let speech = Speech {
            id: room,
            rate: cast.rate,
            shift: f64::from(room) / f64::from(cast.rooms),
            role: Role::Plain(cast.viewers),
        };
        let (scene, site, dialers) = (scene.clone(), cast.plain.clone(), dialers.clone());
        tasks.spawn(speak(scene, site, dialers, name, speech));
    }
    for number in 0..PUSHED_ROOMS * PUSHED_LISTENERS {
        let (scene, site, dialers) = (scene.clone(), cast.asking.clone(), dialers.clone());
        let (user, room) = (format!("told-{number}"), pushed(number));
        tasks.spawn(listen(scene, site, dialers, user, room, Group::Pushed));
        sleep(SPACING).await;
    }
    note_ends(&scene, tasks).await
}

/// The askers, and the backend that pushes.
///
/// # Errors
/// When TLS cannot be set up, or the internal port does not answer.
pub(super) async fn askers(scene: Arc<Scene>, cast: Cast) -> Result<()> {
    let dialers = Arc::new(cast.asking.dialers()?);
    let mut tasks = JoinSet::new();
    for number in 0..cast.askers {
        let speech = Speech {
            id: number,
            rate: 1.0,
            shift: f64::from(number) / f64::from(cast.askers),
            role: Role::Asker,
        };
        let (scene, site, dialers) = (scene.clone(), cast.asking.clone(), dialers.clone());
        let room = format!("asked-{number}");
        tasks.spawn(speak(scene, site, dialers, room, speech));
        sleep(SPACING).await;
    }
    let channel = Channel::from_shared(format!("http://{}", cast.internal))?;
    let channel = channel.connect().await?;
    let (pusher, app) = (scene.clone(), cast.asking.app.id);
    tasks.spawn(push(pusher, channel, app));
    note_ends(&scene, tasks).await
}

/// Whatever ends before the scene does should not have.
async fn note_ends(scene: &Scene, mut tasks: JoinSet<Failed>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        let why = ended.unwrap_or_else(|error| error.to_string());
        scene.record.lock().fault(why);
    }
    Ok(())
}

async fn listen(
    scene: Arc<Scene>,
    site: Site,
    dialers: Arc<Dialers>,
    user: String,
    room: String,
    group: Group,
) -> Failed {
    match Guest::enter(&scene, (&site, &dialers), &user, &room).await {
        Ok(guest) => {
            scene.enter();
            guest.listen(group).await
        }
        Err(why) => why,
    }
}

async fn speak(
    scene: Arc<Scene>,
    site: Site,
    dialers: Arc<Dialers>,
    room: String,
    speech: Speech,
) -> Failed {
    let user = format!("{room}-speaker");
    let mut guest = match Guest::enter(&scene, (&site, &dialers), &user, &room).await {
        Ok(guest) => guest,
        Err(why) => return why,
    };
    scene.enter();
    let ended = async {
        let span = tokio::select! {
            span = scene.begun() => span.ok_or("nothing begins")?,
            told = guest.reply() => return Err(told.err().unwrap_or_else(|| "a reply".to_owned())),
        };
        talk(&scene, &mut guest, speech, speech.schedule(span)).await
    };
    ended
        .await
        .err()
        .unwrap_or_else(|| "no more is due".to_owned())
}

/// Says what is due when it is due, until nothing is.
async fn talk(
    scene: &Scene,
    guest: &mut Guest,
    speech: Speech,
    mut schedule: Schedule,
) -> Result<(), Failed> {
    let mut open = VecDeque::new();
    let mut number = 0;
    while let Some(due) = schedule.due() {
        tokio::select! {
            biased;
            () = sleep_until(scene.clock.deadline(due)) => {
                let now = scene.clock.now();
                while let Some((intended, _)) = schedule.take(now) {
                    let stamp = Stamp { publisher: speech.id, number, intended };
                    number += 1;
                    if let Some(request) = say(scene, guest, speech.role, &stamp)? {
                        open.push_back((request, now));
                    }
                }
            }
            reply = guest.reply() => {
                let reply = reply?;
                let at = open.iter().position(|(request, _)| *request == reply.request_id);
                if let Some((_, said)) = at.and_then(|at| open.remove(at)) {
                    answered(scene, speech.role, &reply, said);
                }
            }
        }
    }
    Ok(())
}

/// Says it, unless it is an asker's turn to be silent; the request id.
fn say(scene: &Scene, guest: &mut Guest, role: Role, stamp: &Stamp) -> Result<Option<u64>, Failed> {
    match role {
        Role::Plain(listeners) => {
            let mut record = scene.record.lock();
            record.said(Group::Plain, stamp.intended, listeners.into());
        }
        Role::Asker if !scene.asking.load(Relaxed) => return Ok(None),
        Role::Asker => {}
    }
    guest.say(stamp, PAYLOAD).map(Some)
}

fn answered(scene: &Scene, role: Role, reply: &Reply, said: Micros) {
    let now = scene.clock.now();
    let mut record = scene.record.lock();
    match (role, Code(reply.code)) {
        (Role::Plain(_), Code(0)) => {}
        (Role::Asker, Code(0)) => record.passed(said, now),
        (Role::Asker, Code::BACKEND_REFUSED) => record.refused(now),
        (Role::Plain(_) | Role::Asker, code) => {
            record.fault(format!("send refused: {} ({})", reply.message, code.0));
        }
    }
}

/// The room of the asking app that the n-th listener is in, or the n-th push
/// goes to.
fn pushed(number: u32) -> String {
    format!("pushed-{}", number % PUSHED_ROOMS)
}

/// Pushes as the asking app's backend.
async fn push(scene: Arc<Scene>, channel: Channel, app: u32) -> Failed {
    let Some(span) = scene.begun().await else {
        return "nothing begins".to_owned();
    };
    let mut backend = BackendServiceClient::new(channel);
    let mut schedule = schedule(PUSHES, 0.5, span);
    let mut number = 0;
    while let Some(due) = schedule.due() {
        sleep_until(scene.clock.deadline(due)).await;
        let Some((intended, _)) = schedule.take(scene.clock.now()) else {
            continue;
        };
        let stamp = Stamp {
            publisher: u32::MAX,
            number,
            intended,
        };
        let listeners = PUSHED_LISTENERS.into();
        scene.record.lock().said(Group::Pushed, intended, listeners);
        let request = wire::PushToRoomRequest {
            sdk_app_id: app,
            room_id: pushed(number),
            priority: Priority::Normal.into(),
            content: Some(wire::push_to_room_request::Content::Text(Text {
                text: payload::write(&stamp, PAYLOAD),
            })),
            ..wire::PushToRoomRequest::default()
        };
        number += 1;
        if let Err(status) = backend.push_to_room(with_key(request)).await {
            return format!("push: {status}");
        }
    }
    "no more is due".to_owned()
}
