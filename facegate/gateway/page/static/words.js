// Verdicts and problems in words. No elements here.

const PICTURES = { img: "the picture", img1: "picture 1", img2: "picture 2", image: "the picture" };

/** A number with so many digits; what rounds to nothing has no sign. */
export const digitsOf = (number, digits) => number.toFixed(digits).replace(/^-(?=[0.]+$)/, "");

/** Two numbers with as many digits as tell them apart, at least three. */
export function apart(a, b) {
  for (let digits = 3; ; digits += 1) {
    const both = [digitsOf(a, digits), digitsOf(b, digits)];
    if (both[0] !== both[1] || a === b || digits >= 8) return both;
  }
}

/**
 * What an answer says of liveness: "real" or "fake" where it was asked for, "unchecked" where not.
 * Asked for and not answered, verdict and P(real), is an error: it is neither.
 */
export function livenessOf(asked, isReal, score) {
  if (!asked) return "unchecked";
  if (typeof isReal === "boolean" && typeof score !== "number") throw new Error("The answer does not say P(real).");
  if (isReal === true) return "real";
  if (isReal === false) return "fake";
  throw new Error("Liveness was asked for, and the answer does not say whether the face is live.");
}

export function livenessWords(liveness, score) {
  if (liveness === "unchecked") return "liveness: not checked";
  return `${liveness.toUpperCase()}, P(real) ${score.toFixed(3)}`;
}

/** The verdict of a comparison: `{verified, word, sentence}`; `liveness` is that of the two faces. */
export function comparison(answer, liveness) {
  const near = answer.distance < answer.threshold;
  const fakes = [1, 2].filter((number) => liveness[number - 1] === "fake");
  const checked = liveness[0] !== "unchecked";
  if (answer.verified && !near) throw new Error("The answer says verified, and its distance says two different people.");
  const verified = answer.verified === true && fakes.length === 0;
  return { verified, word: verified ? "VERIFIED" : "NOT VERIFIED", sentence: sentence(near, fakes, checked) };
}

function sentence(near, fakes, checked) {
  const said = near ? "The distance says one person" : "The distance says two different people";
  const notLive = fakes.length === 2 ? "neither face is live" : `the face of picture ${fakes[0]} is not live`;
  if (fakes.length) return near ? `${said}, but ${notLive}, so it is not verified.` : `${said}, and ${notLive}.`;
  return checked ? `${said}, and both faces are live.` : `${said}. Whether the faces are live was not checked.`;
}

/** Who it is: `{kind, word, sentence}`. Kinds: "good", "bad" (not live), "open" (nobody, or nobody for certain). */
export function identity(answer, liveness, score) {
  if (liveness === "fake") {
    return { kind: "bad", word: "NOT LIVE",
      sentence: `The face is not live (P(real) ${score.toFixed(3)}), so nobody was identified.` };
  }
  const doubt = liveness === "unchecked" ? " Whether the face is live was not checked." : "";
  const [first, second] = answer.matches;
  if (answer.matches.some((each) => each.match && !(each.distance < answer.threshold))) {
    throw new Error("The answer says match of somebody who is too far away.");
  }
  if (!first) return { kind: "open", word: "UNKNOWN", sentence: `Nobody is enrolled who could be compared.${doubt}` };
  if (answer.ambiguous) {
    const other = second ? ` or ${second.name}` : "";
    return { kind: "open", word: "AMBIGUOUS",
      sentence: `${first.name}${other}: both are too near to tell one from the other, so nobody is meant.${doubt}` };
  }
  if (!first.match) {
    const [distance, threshold] = apart(first.distance, answer.threshold);
    return { kind: "open", word: "UNKNOWN",
      sentence: `Nobody enrolled is near enough: the nearest is at ${distance}, the threshold is ${threshold}.${doubt}` };
  }
  const others = answer.matches.filter((match) => match.match).length - 1;
  const more = others ? ` So ${others === 1 ? "is one other person" : `are ${others} others`} under the threshold.` : "";
  return { kind: "good", word: "MATCH", sentence: `This is ${first.name}.${more}${doubt}` };
}

/** What went wrong and what helps: `{title, text}`. */
export function explained(problem) {
  const said = inPageWords(problem);
  const wait = problem.retryAfter ? `Try again in ${problem.retryAfter} s.` : "Try again shortly.";
  switch (problem.code) {
    case "FAILED_PRECONDITION":
      return { title: "Liveness was not checked",
        text: "This server runs without its liveness nets, so nothing was judged, neither real nor fake. "
          + "Untick “Check liveness” to go on without, or have the server started with them." };
    case "NOT_LIVE": return { title: "Not live, so not enrolled", text: "The face in this photo was checked, and is fake." };
    case "NOT_FOUND": return { title: "Not found", text: said };
    case "INVALID_ARGUMENT": return { title: "The server cannot take this", text: said };
    case "PERMISSION_DENIED": return { title: "Not allowed", text: said };
    case "PAYLOAD_TOO_LARGE": return { title: "Too large", text: said };
    case "UNSUPPORTED_MEDIA_TYPE": return { title: "Not a kind of picture that the server takes", text: said };
    case "UNAUTHENTICATED": return { title: "No access", text: "The gateway wants an API key that it knows." };
    case "RESOURCE_EXHAUSTED": return { title: "Too much at once", text: `The server is busy. ${wait}` };
    case "UNAVAILABLE": return { title: "Not available just now", text: `${said} ${wait}` };
    case "DEADLINE_EXCEEDED": return { title: "Too slow", text: `The server did not answer in time. ${wait}` };
    case "NO_ANSWER": return { title: "No answer", text: "The gateway cannot be reached. Is it running?" };
    default: return { title: "Something went wrong", text: said };
  }
}

/** The server's message; where it does not say which picture is meant, its field does. */
function inPageWords({ message, fields }) {
  const text = message.replace(/\b(?:image|img)[ _]?([12])\b/gi, "picture $1").replace(/\b(?:image|img)\b/gi, "the picture");
  const here = text.replace("send several_faces=largest", "tick “Several faces: take the largest”");
  const named = PICTURES[fields?.[0]?.field];
  return `${here}${named && !text.includes(named) ? ` (${named})` : ""}`.replace(/[^.!?]$/, "$&.");
}
