//! Room privileges that a signature may carry in its userbuf: the vendor's
//! PrivateMapKey.
//!
//! A userbuf that is no such structure is opaque and grants or takes nothing.
//! One that is, binds its holder: outside its room, after its end and without
//! the bit nothing is granted. When in doubt whether a well-formed structure
//! means this user it is refused, not ignored, for ignoring widens rights.

use crate::clock::Unix;
use crate::id::{AppId, RoomId};

/// The bits, as the vendor numbers them.
pub mod rights {
    /// Create the room.
    pub const CREATE: u32 = 1;
    /// Enter the room.
    pub const ENTER: u32 = 1 << 1;
    /// Send audio.
    pub const SEND_AUDIO: u32 = 1 << 2;
    /// Receive audio.
    pub const RECEIVE_AUDIO: u32 = 1 << 3;
    /// Send video.
    pub const SEND_VIDEO: u32 = 1 << 4;
    /// Receive video.
    pub const RECEIVE_VIDEO: u32 = 1 << 5;
    /// Send the auxiliary stream (the screen).
    pub const SEND_SCREEN: u32 = 1 << 6;
    /// Receive the auxiliary stream.
    pub const RECEIVE_SCREEN: u32 = 1 << 7;
    /// Everything.
    pub const ALL: u32 = 255;
    /// The vendor's preset for viewers.
    pub const VIEWER: u32 = ENTER | RECEIVE_AUDIO | RECEIVE_VIDEO;
}

/// Rights in one room until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privileges {
    /// The room; a numeric one by its decimal text. `None` when the structure
    /// names a room that cannot exist here: then nothing is granted.
    pub room: Option<RoomId>,
    /// See [`rights`].
    pub bits: u32,
    /// First moment at which nothing is granted any more.
    pub expires: Unix,
}

/// A well-formed structure for another user or app than the signature's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotTheirs;

const NUMERIC: u8 = 0;
const STRING: u8 = 1;

impl Privileges {
    /// Whether the holder may create `room` at `now`.
    pub fn may_create(&self, room: &RoomId, now: Unix) -> bool {
        self.grants(rights::CREATE, room, now)
    }

    /// Whether the holder may enter `room` at `now`.
    pub fn may_enter(&self, room: &RoomId, now: Unix) -> bool {
        self.grants(rights::ENTER, room, now)
    }

    /// Whether the holder may broadcast in `room` at `now`: start a live or
    /// take the mic. Any right to send suffices.
    pub fn may_publish(&self, room: &RoomId, now: Unix) -> bool {
        let send = rights::SEND_AUDIO | rights::SEND_VIDEO | rights::SEND_SCREEN;
        self.grants(send, room, now)
    }

    /// Whether one of the bits `any` is granted in `room` at `now`.
    fn grants(&self, any: u32, room: &RoomId, now: Unix) -> bool {
        self.room.as_ref() == Some(room) && self.bits & any != 0 && now < self.expires
    }

    /// Reads `userbuf`, signed for `user` of `app`. `Ok(None)`: opaque.
    pub(super) fn from_userbuf(
        userbuf: &[u8],
        app: AppId,
        user: &str,
    ) -> Result<Option<Self>, NotTheirs> {
        let Some(parsed) = Parsed::read(userbuf) else {
            return Ok(None);
        };
        let same_app = parsed.app == app.0;
        let same_user = parsed.account == user.as_bytes() || parsed.account == truncated(user);
        match (same_app, same_user) {
            (true, true) => Ok(Some(parsed.privileges())),
            // Some other structure that happens to fit.
            (false, false) => Ok(None),
            (true, false) | (false, true) => Err(NotTheirs),
        }
    }

    /// Writes the structure for `user` of `app`, for
    /// [`Grant::userbuf`](super::usersig::Grant::userbuf). A room whose id is
    /// the text of a 32-bit number is written as a number. `None` when there is
    /// no room, or the end does not fit 32 bits of seconds.
    pub fn to_userbuf(&self, app: AppId, user: &str) -> Option<Vec<u8>> {
        let room = self.room.as_ref()?.as_str();
        let number = room.parse().ok().filter(|n: &u32| n.to_string() == room);
        let expires = u32::try_from(self.expires.seconds()).ok()?;
        let mut out = vec![if number.is_some() { NUMERIC } else { STRING }];
        put_text(&mut out, user)?;
        for field in [app.0, number.unwrap_or(0), expires, self.bits, 0] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        if number.is_none() {
            put_text(&mut out, room)?;
        }
        Some(out)
    }
}

struct Parsed<'a> {
    account: &'a [u8],
    app: u32,
    number: u32,
    expires: u32,
    bits: u32,
    room: Option<&'a [u8]>,
}

impl<'a> Parsed<'a> {
    /// `None` unless the structure fits to the last byte.
    fn read(userbuf: &'a [u8]) -> Option<Self> {
        let (&kind, mut rest) = userbuf.split_first()?;
        let parsed = Self {
            account: take_text(&mut rest)?,
            app: take_u32(&mut rest)?,
            number: take_u32(&mut rest)?,
            expires: take_u32(&mut rest)?,
            bits: take_u32(&mut rest)?,
            room: {
                let _account_type = take_u32(&mut rest)?;
                match kind {
                    NUMERIC => None,
                    STRING => Some(take_text(&mut rest)?),
                    _ => return None,
                }
            },
        };
        rest.is_empty().then_some(parsed)
    }

    fn privileges(&self) -> Privileges {
        let room = match self.room {
            Some(text) => str::from_utf8(text)
                .ok()
                .and_then(|text| RoomId::new(text).ok()),
            None => RoomId::new(&self.number.to_string()).ok(),
        };
        Privileges {
            room,
            bits: self.bits,
            expires: Unix(u64::from(self.expires) * 1000),
        }
    }
}

/// How one of the vendor's libraries writes a name: each UTF-16 unit cut to a
/// byte.
fn truncated(user: &str) -> Vec<u8> {
    user.encode_utf16()
        .map(|unit| unit.to_be_bytes()[1])
        .collect()
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (field, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_be_bytes(*field))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk()?;
    let (text, tail) = tail.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = tail;
    Some(text)
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const APP: AppId = AppId(1_400_000_000);
    const END: Unix = Unix(0x6641_3f00 * 1000);

    fn room(id: &str) -> RoomId {
        RoomId::new(id).expect("a room id")
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
            .collect()
    }

    /// The example of the vendor's format.
    fn example() -> Vec<u8> {
        hex("0000077869616f6a756e53724e000000271066413f00000000ff00000000")
    }

    fn viewer(id: &str) -> Privileges {
        Privileges {
            room: Some(room(id)),
            bits: rights::VIEWER,
            expires: END,
        }
    }

    #[test]
    fn the_vendors_example_reads_and_writes() {
        let parsed = Privileges::from_userbuf(&example(), APP, "xiaojun");
        let expected = Privileges {
            room: Some(room("10000")),
            bits: rights::ALL,
            expires: END,
        };
        assert_eq!(expected.to_userbuf(APP, "xiaojun"), Some(example()));
        assert_eq!(parsed, Ok(Some(expected)));
    }

    #[test]
    fn each_right_needs_its_bit_the_room_and_the_time() {
        let before = Unix(END.0 - 1);
        let viewer = viewer("r");
        assert!(viewer.may_enter(&room("r"), before));
        assert!(!viewer.may_create(&room("r"), before));
        assert!(!viewer.may_publish(&room("r"), before));
        assert!(!viewer.may_enter(&room("q"), before));
        assert!(!viewer.may_enter(&room("r"), END));
        for bit in 0..8 {
            let one = Privileges {
                bits: 1 << bit,
                ..viewer.clone()
            };
            assert_eq!(one.may_create(&room("r"), before), bit == 0, "bit {bit}");
            assert_eq!(one.may_enter(&room("r"), before), bit == 1, "bit {bit}");
            let sends = [2, 4, 6].contains(&bit);
            assert_eq!(one.may_publish(&room("r"), before), sends, "bit {bit}");
        }
    }

    #[test]
    fn one_for_another_user_or_app_is_refused_and_not_ignored() {
        let of = |app, user| Privileges::from_userbuf(&example(), app, user);
        assert_eq!(of(APP, "mallory"), Err(NotTheirs));
        assert_eq!(of(AppId(1), "xiaojun"), Err(NotTheirs));
        assert_eq!(of(AppId(1), "mallory"), Ok(None));
    }

    #[test]
    fn other_bytes_are_opaque() {
        let mut longer = example();
        longer.push(0);
        let mut unknown = example();
        unknown[0] = 2;
        for bytes in [b"abc".to_vec(), vec![], vec![0; 23], longer, unknown] {
            assert_eq!(Privileges::from_userbuf(&bytes, APP, "xiaojun"), Ok(None));
        }
    }

    #[test]
    fn a_truncated_foreign_name_binds_its_holder_all_the_same() {
        // "主播" is U+4E3B U+64AD: 0x3b 0xad when cut to bytes.
        let mut bytes = hex("0100023bad53724e000000000066413f000000002a00000000");
        bytes.extend_from_slice(b"\x00\x01r");
        let parsed = Privileges::from_userbuf(&bytes, APP, "主播");
        assert_eq!(parsed, Ok(Some(viewer("r"))));
    }

    #[test]
    fn a_room_that_cannot_exist_grants_nothing() {
        let mut bytes = hex("01000161").to_vec();
        bytes.extend_from_slice(&hex("53724e000000000066413f00000000ff00000000"));
        bytes.extend_from_slice(b"\x00\x02\xe6\x88");
        let parsed = Privileges::from_userbuf(&bytes, APP, "a");
        let parsed = parsed.unwrap().expect("well-formed");
        assert_eq!(parsed.room, None);
        assert!(!parsed.may_enter(&room("r"), Unix(0)));
    }

    proptest! {
        #[test]
        fn any_bytes_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Privileges::from_userbuf(&bytes, APP, "u");
        }

        #[test]
        fn what_is_written_reads(id in "[ -~]{1,48}", user in "\\PC{1,16}", bits: u32, seconds: u32) {
            let privileges = Privileges {
                room: Some(room(&id)),
                bits,
                expires: Unix(u64::from(seconds) * 1000),
            };
            let bytes = privileges.to_userbuf(APP, &user).expect("fits");
            prop_assert_eq!(Privileges::from_userbuf(&bytes, APP, &user), Ok(Some(privileges)));
        }
    }
}
