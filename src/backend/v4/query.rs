//! Reads the query of a request: which app, who calls, with which signature.
//!
//! It is percent-decoded once; a signature holds `*`, `-`, `_`, and `+` that
//! some libraries leave as it is, which the signature's own alphabet allows
//! for. `random` and `contenttype` are not looked at: stock clients put
//! anything there.

use std::borrow::Cow;

use livegate_proto::code::Code;

use super::answer::Problem;
use crate::id::AppId;

/// Most bytes of a query: a signature may have 8 KiB.
const MAX_QUERY: usize = 12 << 10;

/// Who says that they call.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) app: AppId,
    pub(super) identifier: Cow<'a, str>,
    pub(super) sig: Cow<'a, str>,
}

impl<'a> Claim<'a> {
    /// Reads the query; the first value of a name counts.
    pub(super) fn read(query: &'a str) -> Result<Self, Problem> {
        if query.len() > MAX_QUERY {
            return Err(Problem::new(Code::BAD_URL, "the query is too long"));
        }
        let (mut app, mut identifier, mut sig) = (None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "sdkappid" => &mut app,
                "identifier" => &mut identifier,
                "usersig" => &mut sig,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        let app = app.filter(|app| !app.is_empty()).ok_or(Code::NO_APP_ID)?;
        let app = app.parse().map_err(|_| Code::BAD_APP_ID)?;
        let identifier = identifier.filter(|identifier| !identifier.is_empty());
        let missing = || Problem::new(Code::BAD_ACCOUNT, "identifier is missing");
        Ok(Self {
            app: AppId(app),
            identifier: identifier.ok_or_else(missing)?,
            sig: sig.ok_or(Code::SIG_EMPTY)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(query: &str) -> Code {
        Claim::read(query).unwrap_err().code
    }

    #[test]
    fn what_is_missing_or_malformed_has_its_own_code() {
        assert_eq!(code(""), Code::NO_APP_ID);
        assert_eq!(code("sdkappid=&identifier=a&usersig=b"), Code::NO_APP_ID);
        assert_eq!(code("sdkappid=x&identifier=a&usersig=b"), Code::BAD_APP_ID);
        assert_eq!(code("SdkAppId=7&identifier=a&usersig=b"), Code::NO_APP_ID);
        assert_eq!(code("sdkappid=7&usersig=b"), Code::BAD_ACCOUNT);
        assert_eq!(code("sdkappid=7&identifier=a"), Code::SIG_EMPTY);
        assert_eq!(code(&"x".repeat(MAX_QUERY + 1)), Code::BAD_URL);
    }

    #[test]
    fn a_query_is_decoded_once_in_any_order() {
        let query = "random=no-number&usersig=eJ*a%2A-_%252A&identifier=ad%20min&sdkappid=7";
        let claim = Claim::read(query).unwrap();
        assert_eq!(claim.app, AppId(7));
        assert_eq!(claim.identifier, "ad min");
        assert_eq!(claim.sig, "eJ*a*-_%2A");
    }
}
