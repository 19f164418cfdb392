"""Texts about errors and completed actions for people; programs get codes."""

from __future__ import annotations

from face_index.errors import ConsentMissing, NameRefused, UnknownIdentity
from reports.documents.words import Translate
from reports.errors import CaseAltered, ConfirmationRefused, NoticeIncomplete, UnknownCase
from scanner.web.errors import (
    AccountRefused,
    Forbidden,
    FormExpired,
    FormRefused,
    GateRefused,
    LinkExpired,
    NotThere,
    OpenIdRefused,
    PasswordRefused,
    ProgramFailed,
    TooManyRequests,
)


def problem_sentence(error: Exception, t: Translate) -> str:
    """An error as a sentence that says what to do next; its own text if there is no other."""
    match error:
        case PasswordRefused():
            return _password(error.why, t)
        case AccountRefused() | FormRefused():
            return _refused(t).get(error.why, str(error))
        case ConfirmationRefused():
            return _unconfirmed(error.why, t)
        case OpenIdRefused(why="nobody"):
            return t(
                "Nobody here has an account with that address. Ask an administrator for an "
                "invitation first."
            )
        case OpenIdRefused():
            return t(
                "The provider did not say who you are. Try again, or sign in with your password."
            )
        case NoticeIncomplete():
            return t("Still missing: %(fields)s.") % {"fields": "; ".join(error.labels)}
        case GateRefused(code="busy"):
            return t("Many people send something large just now. Try again in a minute.")
        case TooManyRequests():
            return t("Too many tries. Wait a minute and try again.")
    by_class = {
        LinkExpired: t("This link was used already or has ended. Ask for a new one."),
        Forbidden: t("Your account may not do this."),
        ProgramFailed: t(
            "This is a mistake of the program's. It was written to its log; try again later, or "
            "tell whoever runs this site."
        ),
        NotThere: t("There is no such page, or none that you may see."),
        UnknownCase: t("There is no such page, or none that you may see."),
        CaseAltered: t(
            "This case is not what the audit log vouches for: somebody changed it outside this "
            "program. Nothing of it is shown, decided or exported. Tell whoever runs this site; "
            "portrait-scanner vault check says what differs."
        ),
        UnknownIdentity: t("There is no such page, or none that you may see."),
        FormExpired: t(
            "This form is not from this page or is too old. Go back, load the page again and "
            "repeat it."
        ),
        NameRefused: t(
            "This name cannot be taken. Write it with letters, not longer than 200 signs."
        ),
        ConsentMissing: t(
            "The consent does not allow this: check dates, age and the signed document."
        ),
    }
    return next((told for kind, told in by_class.items() if isinstance(error, kind)), str(error))


def _unconfirmed(why: str, t: Translate) -> str:
    return {
        "withdrawn": t("This person has withdrawn: no case about them is confirmed."),
        "unseen": t("Open the pictures first, at least three pairs: nothing is confirmed unseen."),
        "same-words": t(
            "These words were used for a confirmation already. Say in your own what you saw in "
            "this case."
        ),
    }[why]


def _password(why: str, t: Translate) -> str:
    return {
        "short": t("The password is too short: take at least 12 signs."),
        "long": t("The password is too long: take at most 200 signs."),
        "guessed": t("This password is easily guessed. Take another one."),
        "different": t("The two passwords are not the same."),
        "wrong": t("The present password is wrong."),
    }[why]


def _refused(t: Translate) -> dict[str, str]:
    return {
        "taken": t(
            "There is an account with this address already. Its owner sets a new password with "
            "“forgotten password”."
        ),
        "name-taken": t(
            "Somebody who works here has this name already. Add something that tells the two "
            "apart: names sign decisions."
        ),
        "no-address": t("This is not an e-mail address."),
        "no-name": t("Say your name, in at most 120 signs."),
        "no-role": t("Choose at least one role."),
        "no-such-choice": t("Choose one of the answers."),
        "no-such-scope": t("Choose what the token may do."),
        "no-such-token": t("Give the token a name and a last day within a year."),
        "second-factor-on": t("A second factor is set up already."),
        "wrong-code": t("This code does not fit. Codes change every 30 seconds and count once."),
        "too-long": t("One of the answers is too long."),
        "too-slow": t("The files took too long to arrive. Send fewer or smaller ones."),
        "too-large": t("What was sent is too large."),
        "unreadable": t("The form could not be read. Load the page again and repeat it."),
        "no-consent": t("Read the consent and tick the box, if you agree."),
        "no-answer": t("One of the answers is missing."),
        "no-date": t("Write the date as YYYY-MM-DD."),
        "no-number": t("Write the price as a number."),
        "no-licence": t(
            "Write an uploader as hub:account (civitai:somebody), a file as its SHA-256 of 64 "
            "signs, a hub by its name."
        ),
        "not-opened": t("Look at photos and papers first: nobody is approved unseen."),
        "no-document": t("The signed document is missing."),
        "no-proof": t("Send a copy of a document that shows who you are."),
        "no-photos": t("Choose at least three photos."),
        "no-reason": t("Say why; the reason stays in the record."),
        "no-cases": t("Tick at least one case."),
        "names-itself": t("The file itself names the child: it stays held."),
        "took-it-in": t(
            "You took this in or corrected it. Somebody else must look at the pages and release "
            "what they may show."
        ),
        "submitted-it": t(
            "You submitted this registration or act for the person: somebody else must decide."
        ),
        "captured-meanwhile": t(
            "This changed meanwhile, or somebody decided already. Look at it again."
        ),
        "one-by-one": t("A case is confirmed on its own page, after its pictures were opened."),
        "not-a-document": t("Send the document as PDF, JPEG or PNG."),
        "outside": t("No hub, address, hash or folder of this name may be scanned from here."),
        "acts-for": t(
            "You act for somebody who is registered here, and nobody else does. Withdraw them "
            "first, on the page Likeness."
        ),
        "own-account": t("You cannot do this to your own account."),
        "no-mail": t(
            "No mail server is set up, so no link can be sent. Ask whoever runs this site for an "
            "invitation."
        ),
    }


def done_sentences(t: Translate) -> dict[str, str]:
    """The texts that a page shows after a form, by the word in its address."""
    return {
        "saved": t("Saved."),
        "password": t("The password was changed. Everywhere else you are signed out."),
        "second-factor": t("The second factor is on. From now on you are asked for a code."),
        "second-factor-off": t("The second factor is off."),
        "ended": t("Ended."),
        "signed-out": t("You are signed out."),
        "mailed": t("A link was sent, if the address may have one."),
        "agreed": t("Your consent is noted. Now choose photos."),
        "submitted": t("Thank you. Somebody checks who you are; then the search begins."),
        "submitted-without-some": t(
            "Thank you. Photos that show another person than the others, or cannot be used, were "
            "left out. Somebody checks who you are; then the search begins."
        ),
        "asked": t("The report was asked for. You see it here once it is reviewed."),
        "licence": t("The licence was added. It counts from now on."),
        "renewed": t("The new consent is noted."),
        "decided": t("The decision is recorded."),
        "noted": t("Added to the record."),
        "drafted": t("The notice was drafted. Read it before you send it."),
        "queued": t("The scan was taken in."),
        "cancelled": t("The scan was taken back."),
        "invited": t("The invitation was mailed. It is good for a week and counts once."),
        "approved": t("Approved: the search begins with the next scan."),
        "rejected": t("Rejected, and everything of it erased."),
        "deleted": t("The account was deleted."),
        "removed": t("The capture was removed."),
    }
