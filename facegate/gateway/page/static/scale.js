// A distance against its threshold.
import { element } from "./dom.js";
import { apart } from "./words.js";

const MOST = 2; // of a cosine distance
const USUAL = 1.2; // few pairs of faces are farther apart

export function scale(distance, threshold) {
  const end = Math.max(distance, threshold) <= USUAL ? USUAL : MOST;
  const [distanceText, thresholdText] = apart(distance, threshold);
  const track = element("div", "track");
  track.setAttribute("role", "meter");
  track.setAttribute("aria-label", "Distance");
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", String(end));
  track.setAttribute("aria-valuenow", String(distance));
  track.setAttribute("aria-valuetext", `${distanceText}, threshold ${thresholdText}`);
  track.append(element("span", "needle"));
  track.style.setProperty("--distance", `${(100 * Math.min(Math.max(distance, 0), end)) / end}%`);
  track.style.setProperty("--threshold", `${(100 * threshold) / end}%`);
  const text = element("p", "figures",
    "distance ", element("strong", "", distanceText),
    distance < threshold ? " is under the threshold " : " is not under the threshold ", element("strong", "", thresholdText));
  const ends = element("p", "ends", element("span", "", "0, the same"), element("span", "", `${end}, different`));
  ends.setAttribute("aria-hidden", "true");
  return element("div", "scale", text, track, ends);
}
