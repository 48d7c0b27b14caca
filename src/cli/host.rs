//! `livegate host`: a host at the keyboard.
//!
//! Makes the room when needed, enters it, starts a live (or takes up its own
//! that still runs), says what is typed, and prints what happens. Ends the
//! live politely when asked to stop; a closed stdin is no such wish.

use std::io::{self, BufRead as _};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use livegate_client::wire::LivePhase;
use livegate_client::{
    Client, Event, Events, RequestError, RoomEventKind, RoomHandle, State, TransportPreference,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connect::ConnectArgs;
use super::entering::{self, Entering, Missing};
use super::interrupt::Interrupt;
use super::show::Printer;
use super::typed::Typed;
use super::{exit, print};
use crate::clock::span;
use crate::id::UserId;

/// Lines that were typed and not yet carried out.
const LINES: usize = 64;

/// How long the end of the live is waited for when stopping.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long the telling of the end is waited for, after its answer.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// Hosts a live, saying what is typed.
///
/// /gift NAME N gives, /like N likes, /end ends the live, /start begins
/// another, /quit ends it and leaves; anything else is said. A line that
/// begins with // is said from its second slash on.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How long the room waits for a lost host, such as 10s; the room's setting
    /// when not given.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    grace: Option<Duration>,
}

fn parse_span(text: &str) -> Result<Duration, &'static str> {
    span::parse(text).ok_or("a number and ms, s, m or h")
}

/// Runs `livegate host`.
pub(super) fn run(args: &Args) -> ExitCode {
    match super::block_on(host(args)) {
        Ok(()) => exit::OK.into(),
        Err(error) => {
            print::complain(format_args!("{error:#}"));
            exit::FAILED.into()
        }
    }
}

async fn host(args: &Args) -> anyhow::Result<()> {
    let fallback = || format!("host-{}", args.connect.room);
    let user = args.connect.user(fallback)?;
    let (client, events) = Client::start(args.connect.config(&user, TransportPreference::Tls)?)?;
    let mut stage = Stage {
        args,
        user,
        client: client.clone(),
        printer: Printer::new(args.connect.json),
        room: None,
        live_id: None,
        task: None,
    };
    let outcome = stage.play(events).await;
    client.close().await;
    outcome
}

/// The host's own state.
struct Stage<'a> {
    args: &'a Args,
    user: UserId,
    client: Client,
    printer: Printer,
    room: Option<RoomHandle>,
    /// The live that runs here, as far as this host knows.
    live_id: Option<String>,
    /// What was asked for and is not answered yet; one at a time, in order.
    task: Option<Task>,
}

type Task = Pin<Box<dyn Future<Output = Result<Done, RequestError>>>>;

enum Done {
    Started(String),
    Said,
}

impl Stage<'_> {
    async fn play(&mut self, mut events: Events) -> anyhow::Result<()> {
        let mut interrupt = Interrupt::new()?;
        let mut lines = typed_lines();
        let mut entering = Some(self.entering());
        loop {
            let idle = self.room.is_some() && self.task.is_none();
            tokio::select! {
                biased;
                () = interrupt.asked() => return self.stop(&mut interrupt, &mut events).await,
                event = events.next() => {
                    let event = event.context("the gateway's answer is final")?;
                    self.printer.print(&event)?;
                    if self.note(&event)? {
                        print::complain("the live is over; /start begins another, /quit leaves");
                    }
                    if entering::is_lost(&event) {
                        (self.room, self.live_id) = (None, None);
                        entering = Some(self.entering());
                    }
                }
                entered = entering::done(&mut entering) => self.entered(entered?),
                done = task_done(&mut self.task) => self.done(done),
                Some(line) = lines.recv(), if idle => {
                    if self.carry_out(&line) {
                        return self.stop(&mut interrupt, &mut events).await;
                    }
                }
            }
        }
    }

    fn entering(&self) -> Entering {
        let room = self.args.connect.room.as_str();
        Entering::new(self.client.clone(), room, Missing::Create, self.printer)
    }

    /// Takes up the live that runs, or starts one.
    fn entered(&mut self, room: RoomHandle) {
        let own = room.entered().and_then(|reply| {
            let live = reply.room.as_ref()?.summary.as_ref()?.live.as_ref()?;
            let runs = matches!(live.phase(), LivePhase::Live | LivePhase::Away);
            let own = live.host.as_ref()?.user_id == self.user.as_str();
            (runs && own).then(|| live.live_id.clone())
        });
        self.room = Some(room);
        self.live_id = own;
        if self.live_id.is_none() {
            self.carry_out("/start");
        }
    }

    /// Follows the live through what happens; true when it is over.
    fn note(&mut self, event: &Event) -> anyhow::Result<bool> {
        let Event::Room(event) = event else {
            return Ok(false);
        };
        match &event.kind {
            RoomEventKind::LiveEnded { live_id, .. } if self.live_id.as_ref() == Some(live_id) => {
                self.live_id = None;
                return Ok(true);
            }
            RoomEventKind::Kicked(_) => bail!("kicked out of the room"),
            RoomEventKind::Destroyed(_) => bail!("the room was destroyed"),
            _ => {}
        }
        Ok(false)
    }

    /// Begins what was typed; true for a wish to leave.
    fn carry_out(&mut self, line: &str) -> bool {
        let Some(room) = self.room.clone() else {
            return false;
        };
        let grace = self.args.grace;
        let live_id = self.live_id.clone();
        self.task = match Typed::parse(line) {
            Ok(Typed::Nothing) => None,
            Ok(Typed::Say(text)) => task(async move { said(room.send_text(text).await) }),
            Ok(Typed::Gift { name, count }) => {
                task(async move { said(room.send_gift(name, count).await) })
            }
            Ok(Typed::Like(count)) => task(async move { said(room.like(count).await) }),
            Ok(Typed::Start) => task(async move {
                let start_id = uuid::Uuid::now_v7().to_string();
                let started = room.start_live(start_id, grace).await?;
                Ok(Done::Started(started.live_id))
            }),
            Ok(Typed::End) => match live_id {
                Some(live_id) => task(async move { said(room.end_live(live_id).await) }),
                None => {
                    print::complain("there is no live");
                    None
                }
            },
            Ok(Typed::Quit) => return true,
            Err(usage) => {
                print::complain(usage);
                None
            }
        };
        false
    }

    fn done(&mut self, done: Result<Done, RequestError>) {
        match done {
            Ok(Done::Started(live_id)) => self.live_id = Some(live_id),
            Ok(Done::Said) => {}
            Err(error) => print::complain(format_args!("not done: {error}")),
        }
    }

    /// Ends the live, unless asked to stop a second time.
    async fn stop(&mut self, interrupt: &mut Interrupt, events: &mut Events) -> anyhow::Result<()> {
        // A live whose start is under way is to be ended, too.
        if self.task.is_some()
            && let Ok(done) = timeout(GOODBYE, task_done(&mut self.task)).await
        {
            self.done(done);
        }
        let (Some(room), Some(live_id)) = (self.room.clone(), self.live_id.clone()) else {
            return Ok(());
        };
        if self.client.state() != State::Online {
            bail!("not connected: the live ends when its grace is over");
        }
        tokio::select! {
            () = interrupt.asked() => bail!("left without ending the live"),
            ended = timeout(GOODBYE, room.end_live(live_id)) => match ended {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(anyhow!(error).context("cannot end the live")),
                Err(_) => bail!("the live did not end within {}", span::format(GOODBYE)),
            },
        }
        self.print_the_end(events).await
    }

    /// Prints what happens up to the end of the live, which is on its way.
    async fn print_the_end(&mut self, events: &mut Events) -> anyhow::Result<()> {
        while self.live_id.is_some()
            && let Ok(Some(event)) = timeout(LAST_EVENTS, events.next()).await
        {
            self.printer.print(&event)?;
            self.note(&event)?;
        }
        Ok(())
    }
}

#[allow(clippy::unnecessary_wraps)] // an absent task is None to its holder
fn task(work: impl Future<Output = Result<Done, RequestError>> + 'static) -> Option<Task> {
    Some(Box::pin(work))
}

fn said<T>(result: Result<T, RequestError>) -> Result<Done, RequestError> {
    result.map(|_| Done::Said)
}

/// The answer to the task under way; never, when there is none.
async fn task_done(task: &mut Option<Task>) -> Result<Done, RequestError> {
    match task {
        Some(work) => {
            let done = work.await;
            *task = None;
            done
        }
        None => std::future::pending().await,
    }
}

/// Lines of stdin. A thread reads them, since a terminal cannot be polled; it
/// ends with the process.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
