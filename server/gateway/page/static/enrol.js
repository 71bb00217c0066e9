// Enrol: a new person, or more photos of one who is known.
import { call, Problem } from "./api.js";
import { element, find } from "./dom.js";
import * as labels from "./labels.js";
import { Photos } from "./photos.js";
import { Result } from "./result.js";
import { explained, livenessOf, livenessWords } from "./words.js";

const ABOUT_A_PHOTO = ["INVALID_ARGUMENT", "NOT_FOUND", "NOT_LIVE", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"];

/** `enrolled()` is called when somebody was. Returns `more(person)`, which makes the form ask for more photos of them. */
export function start(view, enrolled) {
  const form = find("form", view);
  const result = new Result(find(".result", view));
  const photos = new Photos(find(".photos", view), () => result.clear());
  let known = null;

  function show(person) {
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
    if (!photos.files.length) {
      result.want("Choose a photo first.");
      return;
    }
    result.run("Enrolling…", async (signal) => {
      const asked = form.liveness.checked;
      const who = known ?? { name: form.elements.name.value.trim(), labels: labels.parsed(form.labels.value) };
      const done = await enrol(who, photos.files, asked, signal);
      if (!done.accepted) return result.fail(done.refused[0].problem);
      photos.clear();
      form.reset();
      form.liveness.checked = asked;
      show(null);
      report(result, who, done);
      return enrolled();
    });
  });
  return (person) => {
    result.clear();
    show(person);
    view.scrollIntoView({ block: "nearest" });
    find("input", form).focus();
  };
}

/** One photo at a time: the first that is taken makes the person, the others are added. */
async function enrol(who, files, asked, signal) {
  const done = { accepted: 0, faces: [], refused: [] };
  let id = who.id;
  for (const img of files) {
    const person = id ? { id } : { name: who.name, labels: who.labels };
    try {
      const answer = await call("v1/face/register", { img, ...person, anti_spoofing: asked }, signal);
      const look = livenessOf(asked, answer.is_real);
      id = answer.id;
      done.accepted += 1;
      done.faces.push({ name: img.name, look, words: livenessWords(look, answer.antispoof_score) });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      done.refused.push({ name: img.name, problem });
      if (!ABOUT_A_PHOTO.includes(problem.code)) break; // the next would fare no better
    }
  }
  return done;
}

function report(result, who, { accepted, faces, refused }) {
  const count = accepted + refused.length;
  const some = refused.length ? `${accepted} of ${count} photos` : count === 1 ? "1 photo" : `${count} photos`;
  const took = faces.map((face) => element("li", face.look, `${face.name}: taken, ${face.words}`));
  const left = refused.map(({ name, problem }) => {
    const { title, text } = explained(problem);
    const id = problem.requestId ? ` Request id ${problem.requestId}.` : "";
    return element("li", "fake", `${name}: ${title}. ${text}${id}`);
  });
  result.show(refused.length ? "open" : "good", "ENROLLED", `${who.name} is enrolled with ${some}.`,
    element("ul", "faces", ...took, ...left));
}
