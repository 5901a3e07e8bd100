"use strict";
// Without this the page is complete, as of when it was loaded. With it, events appear as they come, and what they change is
// fetched again, once a second at most.
const list = document.getElementById("events");
let after = document.body.dataset.after;
let due = 0;

function show(event) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = event.time.slice(11, 19);
  const kind = document.createElement("b");
  kind.textContent = event.kind;
  const text = (event.subject ? event.subject + " " : "") + event.text + (event.error ? ": " + event.error : "");
  item.append(time, " ", kind, " ", text);
  list.prepend(item);
  while (list.children.length > 200) list.lastChild.remove();
}

async function refresh() {
  due = 0;
  const answer = await fetch(location.href);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of ["header", "main", "footer"]) {
    document.querySelector(part).replaceWith(fresh.querySelector(part));
  }
}

async function follow() {
  const answer = await fetch("v1/events?follow&after=" + after);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "";;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      after = event.number;
      show(event);
    }
    due ||= setTimeout(refresh, 1000);
  }
}

async function forever() {
  for (;;) {
    try { await follow(); } catch (e) { console.log(e); }
    document.body.dataset.lost = "true";
    await new Promise(done => setTimeout(done, 2000));
  }
}
forever();
