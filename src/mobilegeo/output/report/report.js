
"use strict";
// Without this script the page still shows everything and links pins to cards; the script adds
// panning, zooming and highlighting.
(() => {
  const svg = document.querySelector("svg.plot");
  if (!svg) return;
  const scale = document.querySelector(".scale");
  const { x, y, width, height } = svg.viewBox.baseVal;
  const whole = { x, y, width, height };
  let view = { ...whole };

  const niceLength = (limit) => {
    const power = 10 ** Math.floor(Math.log10(limit));
    return [5, 2, 1, 0.5].find((factor) => factor * power <= limit) * power;
  };

  const draw = () => {
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    svg.style.setProperty("--u", view.width / svg.clientWidth);
    svg.classList.toggle("near", view.width < 0.999 * whole.width);
    const bar = niceLength(0.3 * view.width);
    scale.style.width = `${(100 * bar) / view.width}%`;
    scale.firstElementChild.textContent = bar < 1000 ? `${bar} m` : `${bar / 1000} km`;
  };

  // u and v: the point that stays in place, as shares of the plot's width and height.
  const zoom = (factor, u = 0.5, v = 0.5) => {
    const wanted = Math.min(Math.max(view.width * factor, whole.width / 100), whole.width * 4);
    const shrink = wanted / view.width;
    view.x += u * view.width * (1 - shrink);
    view.y += v * view.height * (1 - shrink);
    view.width *= shrink;
    view.height *= shrink;
    draw();
  };

  const share = (clientX, clientY) => {
    const box = svg.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  };

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(0.0015 * event.deltaY), ...share(event.clientX, event.clientY));
  }, { passive: false });

  const pointers = new Map();
  let moved = 0;
  // Middle of the pointers and how far they are apart; one finger pans, two zoom as well.
  const grip = () => {
    const [a, b = a] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, gap: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  svg.addEventListener("pointerdown", (event) => {
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  svg.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = grip();
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const now = grip();
    moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (moved < 5 && pointers.size < 2) return; // still a click
    svg.setPointerCapture(event.pointerId);
    svg.classList.add("moving");
    view.x -= ((now.x - before.x) / svg.clientWidth) * view.width;
    view.y -= ((now.y - before.y) / svg.clientHeight) * view.height;
    if (before.gap && now.gap) zoom(before.gap / now.gap, ...share(now.x, now.y));
    else draw();
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    svg.classList.toggle("moving", pointers.size > 0);
  };
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
    svg.addEventListener(name, release);
  }
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("click", (event) => {
    if (moved >= 5 && event.detail) event.preventDefault(); // detail 0: from the keyboard
  }, true);

  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      if (!factor) view = { ...whole };
      zoom(factor || 1);
    });
  }

  for (const pin of document.querySelectorAll(".pin")) {
    const card = document.getElementById(`photo-${pin.dataset.number}`);
    for (const [here, there] of [[pin, card], [card, pin]]) {
      here.addEventListener("pointerenter", () => there.classList.add("hot"));
      here.addEventListener("pointerleave", () => there.classList.remove("hot"));
    }
    card.querySelector(".show").addEventListener("click", () => {
      view.x = Number(pin.dataset.x) - view.width / 2;
      view.y = Number(pin.dataset.y) - view.height / 2;
      zoom(Math.min(1, (0.35 * whole.width) / view.width));
      pin.focus({ preventScroll: true });
    });
  }

  addEventListener("resize", draw);
  draw();
})();
