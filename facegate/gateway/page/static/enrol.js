// Enrol: a new person, or more photos of one who is known.
import { call, problemOf } from "./api.js";
import { element, find } from "./dom.js";
import * as labels from "./labels.js";
import { Photos } from "./photos.js";
import { Result } from "./result.js";
import { explained, livenessOf, livenessWords } from "./words.js";

const ABOUT_A_PHOTO = ["INVALID_ARGUMENT", "NOT_FOUND", "NOT_LIVE", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"];
const UNSURE = ["NO_ANSWER", "NO_MEANING", "PAGE", "INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE"];

/**
 * `enrolled()` is called when somebody was, or may have been.
 * Returns `more(person)`, which makes the form ask for more photos of them.
 */
export function start(view, enrolled) {
  const form = find("form", view);
  const fields = find("fieldset", form);
  const result = new Result(find(".result", view));
  const photos = new Photos(find(".photos", view), () => result.clear());
  let known = null;

  function show(person) {
    if (known && known.id !== person?.id) photos.set([]); // these were of somebody else
    known = person;
    find("h2", view).textContent = person ? `More photos of ${person.name}` : "Enrol a person";
    find(".new-person", form).hidden = Boolean(person);
    form.elements.name.required = !person;
    form.stop.hidden = !person;
  }

  form.stop.addEventListener("click", () => {
    show(null);
    find("input", form).focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (fields.disabled) return;
    if (!photos.files.length) {
      result.want("Choose a photo first.");
      return;
    }
    result.run("Enrolling…", async () => {
      const asked = form.liveness.checked;
      const choice = form.largest.checked ? { several_faces: "largest" } : {};
      const who = known ?? { name: form.elements.name.value.trim(), labels: labels.parsed(form.labels.value) };
      const done = await closed(fields, () => enrol(who, photos.files, asked, choice));
      report(result, who, done);
      if (done.taken.length) {
        form.reset();
        form.liveness.checked = asked;
        photos.set(done.left);
        show(done.left.length ? { id: done.id, name: who.name } : null);
      }
      if (done.taken.length || done.unsure) await enrolled();
    });
  });
  return (person) => {
    view.scrollIntoView({ block: "nearest" });
    if (fields.disabled) return;
    result.clear();
    show(person);
    find("input", form).focus();
  };
}

/** Nothing of the form can be used, and so nothing disturbed, until `work` is done. */
async function closed(fields, work) {
  const focused = document.activeElement;
  fields.disabled = true;
  try {
    return await work();
  } finally {
    fields.disabled = false;
    if (document.activeElement === document.body) focused.focus();
  }
}

/** One photo at a time: the first that is taken makes the person, the others are added. Never ended halfway: all is told. */
async function enrol(who, files, asked, choice) {
  const done = { id: who.id, taken: [], left: [], lines: [], problem: null, unsure: false };
  let goOn = true;
  for (const img of files) {
    if (!goOn) {
      done.left.push(img);
      done.lines.push(element("li", "", `${img.name}: not sent.`));
      continue;
    }
    const person = done.id ? { id: done.id } : { name: who.name, labels: who.labels };
    try {
      const answer = await call("v1/face/register", { img, ...person, ...choice, anti_spoofing: asked });
      const look = livenessOf(asked, answer.is_real, answer.antispoof_score);
      done.id = answer.id;
      done.taken.push(img);
      const selected = answer.face_count > 1 ? `, the largest of ${answer.face_count} faces` : "";
      done.lines.push(element("li", look, `${img.name}: taken${selected}, ${livenessWords(look, answer.antispoof_score)}`));
    } catch (error) {
      const problem = problemOf(error);
      const unsure = UNSURE.includes(problem.code);
      const doubt = unsure ? " It may be stored: see the list." : "";
      done.left.push(img);
      done.lines.push(element("li", "fake", `${img.name}: ${inOneLine(problem)}${doubt}`));
      done.problem ??= problem;
      done.unsure ||= unsure;
      goOn = ABOUT_A_PHOTO.includes(problem.code); // else the next would fare no better
    }
  }
  return done;
}

function inOneLine(problem) {
  const { title, text } = explained(problem);
  return `${title}. ${text}${problem.requestId ? ` Request id ${problem.requestId}.` : ""}`;
}

function report(result, who, { taken, left, lines, problem, unsure }) {
  const list = element("ul", "faces", ...lines);
  if (!taken.length) {
    result.fail(problem, ...(lines.length > 1 || unsure ? [list] : []));
    return;
  }
  const count = taken.length + left.length;
  const some = `${left.length ? `${taken.length} of ` : ""}${count} photo${count === 1 ? "" : "s"}`;
  result.show(left.length ? "open" : "good", "ENROLLED", `${who.name} is enrolled with ${some}.`, list);
}
