//! `weir group remove-member`: takes members out of a group. Those that still run join again, which
//! is said before it is done.

use super::naming::is_meant;
use super::{live, refusal};
use crate::args::JsonArg;
use crate::failure::{Exit, Failure, Outcome};
use crate::prompt::Consent;
use crate::{human, output};
use clap::{ArgGroup, Args};
use serde_json::json;
use weir_client::Client;
use weir_client::admin::GroupMember;
use weir_types::text::nearest;

/// `weir group remove-member`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("who").required(true).multiple(false)))]
pub(crate) struct RemoveArgs {
    /// The group
    group: String,
    /// The members' ids, whole or as far as `weir group describe` shows them
    #[arg(value_name = "MEMBER", group = "who")]
    members: Vec<String>,
    /// A static member by its name; may be given several times
    #[arg(long, value_name = "NAME", group = "who")]
    instance_id: Vec<String>,
    /// All of them
    #[arg(long, group = "who")]
    all: bool,
    /// Why; the group's history keeps it
    #[arg(long, value_name = "TEXT", default_value = "weir group remove-member")]
    reason: String,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the command.
pub(super) async fn run(client: &Client, args: RemoveArgs) -> Outcome {
    let group = live::described(client, &args.group).await?;
    let name = human::name(&args.group);
    let chosen = chosen(&group.members, &args)?;
    if chosen.is_empty() {
        eprintln!("weir: group `{name}` has no members; nothing to do");
        return print(&args, &[]);
    }
    let named: Vec<String> = chosen
        .iter()
        .map(|member| {
            format!(
                "`{}` ({})",
                human::name(&member.member_id),
                live::member(member)
            )
        })
        .collect();
    let deed = format!(
        "remove {} from group `{name}`: {}; their partitions go to others at once, and those that \
         still run join again",
        human::counted(chosen.len(), "member"),
        named.join(", ")
    );
    if !args.consent.given(&deed)? {
        return print(&args, &[]);
    }
    let mut gone = Vec::new();
    let mut failed = None;
    for member in chosen {
        let removed = client
            .admin()
            .remove_group_member(&args.group, &member.member_id, &args.reason)
            .await;
        match removed {
            Ok(()) => gone.push(member.member_id.clone()),
            Err(error) => {
                let failure = refusal::admin(&error, &args.group);
                failed = Some(failure.about(format_args!("member `{}`", member.member_id)));
                break;
            }
        }
    }
    print(&args, &gone)?;
    failed.map_or(Ok(()), Err)
}

fn print(args: &RemoveArgs, gone: &[String]) -> Outcome {
    if args.json.json {
        return output::json(&json!({ "group": args.group, "removed": gone }));
    }
    for member in gone {
        let (member, group) = (human::name(member), human::name(&args.group));
        output::line(format_args!("removed `{member}` from group `{group}`"))?;
    }
    Ok(())
}

fn chosen<'a>(members: &'a [GroupMember], args: &RemoveArgs) -> Outcome<Vec<&'a GroupMember>> {
    if args.all {
        return Ok(members.iter().collect());
    }
    let id = |member: &'a GroupMember| Some(member.member_id.as_str());
    let instance = |member: &'a GroupMember| member.instance_id.as_deref();
    let exact = |name: &str, wanted: &str| name == wanted;
    if args.instance_id.is_empty() {
        pick(members, &args.members, &args.group, id, is_meant)
    } else {
        pick(members, &args.instance_id, &args.group, instance, exact)
    }
}

/// The members of these names, whole or as far as they are meant by one only.
fn pick<'a>(
    members: &'a [GroupMember],
    wanted: &[String],
    group: &str,
    name: impl Fn(&'a GroupMember) -> Option<&'a str>,
    is_meant: impl Fn(&str, &str) -> bool,
) -> Outcome<Vec<&'a GroupMember>> {
    let mut chosen = Vec::new();
    for wanted in wanted {
        let whole = members.iter().find(|m| name(m) == Some(wanted.as_str()));
        let meant = |m: &&'a GroupMember| name(m).is_some_and(|name| is_meant(name, wanted));
        let mut meant = members.iter().filter(meant);
        let found = match (whole, meant.next(), meant.next()) {
            (None, Some(_), Some(_)) => {
                let (group, wanted) = (human::name(group), human::name(wanted));
                let text = format!("`{wanted}` begins more than one id in group `{group}`");
                return Err(Failure::new(Exit::Refused, text).advise("write more of it"));
            }
            (whole, meant, _) => whole.or(meant),
        };
        let Some(found) = found else {
            let text = format!(
                "group `{}` has no member `{}`",
                human::name(group),
                human::name(wanted)
            );
            let near = nearest(wanted, members.iter().filter_map(&name));
            return Err(Failure::new(Exit::Refused, text).advise(match near {
                Some(near) => format!("did you mean `{}`?", human::name(near)),
                None => format!(
                    "`weir group describe {}` shows those there are",
                    human::shell_quoted(group)
                ),
            }));
        };
        if !chosen
            .iter()
            .any(|member: &&GroupMember| member.member_id == found.member_id)
        {
            chosen.push(found);
        }
    }
    Ok(chosen)
}
