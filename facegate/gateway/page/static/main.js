// What is where: views by the address's hash.
import * as compare from "./compare.js";
import { find } from "./dom.js";
import * as enrol from "./enrol.js";
import * as identify from "./identify.js";
import { startIntake } from "./intake.js";
import * as key from "./key.js";
import * as look from "./look.js";
import { Roll } from "./roll.js";

const VIEWS = ["compare", "look", "people"];

key.start();
startIntake();
compare.start(find("#compare-view"));
look.start(find("#look-view"));
const stale = identify.start(find("#identify"));
let roll = null;
const addPhotos = enrol.start(find("#enrol"), () => {
  stale();
  return roll.show();
});
roll = new Roll(find("#roll"), { addPhotos, changed: stale });

function show() {
  const asked = location.hash.slice(1);
  if (asked === "main") return; // the link past the navigation
  const view = VIEWS.includes(asked) ? asked : VIEWS[0];
  for (const name of VIEWS) {
    find(`#${name}-view`).hidden = name !== view;
    const link = find(`nav [href="#${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "people") roll.show();
}

window.addEventListener("hashchange", show);
show();
