/* The threshold page: counts for every position of the line from counts by bin, without a request; exact ones from the
   server where a threshold is typed that lies between two bins. */
(function () {
  "use strict";
  const panel = document.getElementById("threshold");
  if (!panel || !window.Plotly) return;
  const canvas = document.getElementById("threshold-canvas");
  const line = document.getElementById("threshold-line");
  const flag = document.getElementById("threshold-flag");
  const slider = document.getElementById("tau-slider");
  const box = document.getElementById("tau");
  const back = document.getElementById("tau-back");
  const state = document.getElementById("threshold-state");
  const said = state.textContent;
  const now = Number(panel.dataset.now);
  const LIMIT = 9;
  const Z = 1.959963984540054;
  const EDGE = 1e-9;
  let numbers = null;
  let tau = Number(panel.dataset.shown);
  let asked = 0; // number of the last request; answers to earlier ones are late
  let planned = null;
  let frame = null;

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--lw-" + name).trim();
  }

  function show(id, value) {
    document.getElementById(id).textContent = typeof value === "number" ? value.toLocaleString("en") : value;
  }

  function edgeOf(at) {
    return Math.ceil(at * numbers.bins_per_point - EDGE) - numbers.first;
  }

  function isEdge(at) {
    const place = at * numbers.bins_per_point;
    return Math.abs(place - Math.round(place)) < 1e-6;
  }

  function sum(counts, from, to) {
    let total = 0;
    for (let place = Math.max(0, from); place < Math.min(counts.length, to); place++) total += counts[place];
    return total;
  }

  function from(counts, edge) {
    return sum(counts, edge, counts.length);
  }

  function wilson(part, n) {
    const share = part / n;
    const z2 = Z * Z;
    const middle = (share + z2 / (2 * n)) / (1 + z2 / n);
    const half = (Z / (1 + z2 / n)) * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n));
    return { low: part <= 0 ? 0 : Math.max(0, middle - half), high: part >= n ? 1 : Math.min(1, middle + half) };
  }

  /* The same as the server's what-if, from the bins. */
  function counted(at) {
    const edge = edgeOf(at);
    const hard = from(numbers.all, edge);
    const easy = sum(numbers.all, 0, edge);
    const agreed = from(numbers.hard, edge) + sum(numbers.easy, 0, edge);
    const n = from(numbers.hard, 0) + from(numbers.easy, 0);
    return {
      referee: { hard, easy, unscored: numbers.unscored },
      final: {
        hard: from(numbers.open, edge) + numbers.fixed.hard,
        easy: sum(numbers.open, 0, edge) + numbers.fixed.easy,
        unscored: numbers.unscored_open + numbers.fixed.unscored,
      },
      agreement: n ? { value: agreed / n, n, ...wilson(agreed, n) } : { value: null, n: 0 },
      cut: {},
    };
  }

  function percent(value) {
    return Number((100 * value).toPrecision(3)) + "\u00a0%";
  }

  function showSplit(found) {
    for (const who of ["final", "referee"]) {
      for (const kind of ["hard", "easy", "unscored"]) show(who + "-" + kind, found[who][kind]);
    }
    const agreement = found.agreement;
    show("agreement", agreement.value === null ? "–"
      : percent(agreement.value) + " (" + (100 * agreement.low).toFixed(0) + " to " + (100 * agreement.high).toFixed(0) + ")");
    show("agreement-n", agreement.n);
    showSeeds(found.final);
  }

  /* An empty side leaves its share to the other, as the generation does. */
  function showSeeds(seeds) {
    const wanted = { hard: Number(panel.dataset.wantedHard), easy: Number(panel.dataset.wantedEasy) };
    const all = wanted.hard + wanted.easy;
    let note = "How many are made is set by the settings, so the threshold changes what they are made from and hardly the number of calls.";
    if (!seeds.hard && !seeds.easy) {
      note = "Nothing would have a verdict, so the generation could not begin.";
      wanted.hard = wanted.easy = 0;
    } else if (!seeds.hard && wanted.hard) {
      note = "Nothing would be hard: its share is made from easy ones instead.";
      wanted.hard = 0;
      wanted.easy = all;
    } else if (!seeds.easy && wanted.easy) {
      note = "Nothing would be easy: its share is made from hard ones instead.";
      wanted.easy = 0;
      wanted.hard = all;
    }
    for (const kind of ["hard", "easy"]) {
      show("make-" + kind, wanted[kind]);
      show("seeds-" + kind, seeds[kind]);
    }
    show("seeds-note", note);
  }

  function hardOf(category, at, cut) {
    return from(category.open, edgeOf(at)) + category.hard + cut;
  }

  function cutOf(name, cut) {
    if (name !== "other") return cut[name] || 0;
    return Object.keys(cut).reduce((total, one) => total + (one in numbers.categories && one !== "other" ? 0 : cut[one]), 0);
  }

  function showMix(found) {
    const body = document.querySelector("#mix tbody");
    const rows = Object.keys(numbers.categories).map(function (name) {
      const category = numbers.categories[name];
      const hard = hardOf(category, tau, cutOf(name, found.cut));
      return [name, hard, found.final.hard ? percent(hard / found.final.hard) : "–", isEdge(now) ? hardOf(category, now, 0) : "–"];
    });
    body.replaceChildren(...rows.map(function (cells) {
      const row = document.createElement("tr");
      row.append(...cells.map(function (value, place) {
        const cell = document.createElement("td");
        cell.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
        if (place) cell.className = "number";
        return cell;
      }));
      return row;
    }));
  }

  /* Bars of a quarter point; the one that the threshold cuts shows both parts. */
  function draw(found) {
    if (!numbers.all.length) return;
    const perBar = numbers.bins_per_point / 4;
    const edge = edgeOf(tau);
    const bars = new Map();
    numbers.all.forEach(function (count, place) {
      const bar = Math.floor((numbers.first + place) / perBar);
      if (!bars.has(bar)) bars.set(bar, [0, 0]);
      bars.get(bar)[place >= edge ? 1 : 0] += count;
    });
    const x = [...bars.keys()].map((bar) => (bar + 0.5) / 4);
    const trace = (part, name, shade) => ({
      x, y: [...bars.values()].map((pair) => pair[part]), type: "bar", width: 0.235, name,
      marker: { color: color(shade), opacity: 0.85 }, hovertemplate: "%{y} " + name + " around %{x:.2f}<extra></extra>",
    });
    const axis = { gridcolor: color("border"), linecolor: color("border"), zeroline: false, automargin: true, fixedrange: true, tickfont: { size: 11 } };
    const first = Math.min(x[0] - 0.25, now - 0.25);
    const last = Math.max(x[x.length - 1] + 0.25, now + 0.25);
    canvas.setAttribute("aria-label", "Gaps of the Cache Pool: " + found.referee.hard + " at or above " + round(tau) + ", " + found.referee.easy + " below");
    Plotly.react(canvas, [trace(0, "easy", "running"), trace(1, "hard", "waiting")], {
      margin: { l: 48, r: 12, t: 26, b: 36 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", barmode: "stack",
      font: { family: "system-ui, sans-serif", size: 12, color: color("muted") }, hovermode: "closest", showlegend: true,
      hoverlabel: { bgcolor: color("surface"), bordercolor: color("border"), font: { color: color("text") } },
      legend: { orientation: "h", x: 1, xanchor: "right", y: 1.02, yanchor: "bottom" },
      xaxis: { ...axis, showgrid: false, range: [first, last], title: { text: "gap (teacher minus student)", font: { size: 11 } } },
      yaxis: { ...axis, rangemode: "tozero", title: { text: "instructions", font: { size: 11 } } },
      shapes: tau === now ? [] : [{ type: "line", x0: now, x1: now, yref: "paper", y0: 0, y1: 1, line: { color: color("edge"), width: 1.5, dash: "dot" } }],
    }, { displayModeBar: false, responsive: true }).then(place);
  }

  function round(value) {
    return String(Number(value.toFixed(4)));
  }

  function place() {
    const layout = canvas._fullLayout;
    if (!layout || !layout.xaxis) return;
    const [left, right] = layout.xaxis.range;
    const inside = Math.min(right, Math.max(left, tau));
    line.hidden = false;
    line.style.left = layout.xaxis._offset + layout.xaxis.l2p(inside) + "px";
    line.style.top = layout.yaxis._offset + "px";
    line.style.height = layout.yaxis._length + "px";
    line.classList.toggle("is-left", (inside - left) / (right - left) > 0.8);
    flag.textContent = "tau " + round(tau);
  }

  function refresh() {
    frame = null;
    back.hidden = tau === now;
    if (!numbers) return;
    const found = counted(tau);
    draw(found);
    if (isEdge(tau)) {
      cancel();
      showSplit(found);
      showMix(found);
      state.textContent = tau === now ? said : "Not applied: the threshold is " + round(now) + ".";
    } else askSoon();
  }

  function cancel() {
    asked += 1;
    clearTimeout(planned);
  }

  function askSoon() {
    cancel();
    state.textContent = "Counting exactly …";
    planned = setTimeout(ask, 120);
  }

  async function ask() {
    const number = asked;
    try {
      const answer = await fetch(panel.dataset.exact + "&tau=" + encodeURIComponent(tau), { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      if (number !== asked) return;
      showSplit(found);
      showMix(found);
      state.textContent = tau === now ? said : "Not applied: the threshold is " + round(now) + ".";
    } catch {
      if (number === asked) state.textContent = "The exact counts could not be fetched; move the threshold to try again.";
    }
  }

  function move(value, source) {
    if (!Number.isFinite(value)) return;
    tau = Math.min(LIMIT, Math.max(-LIMIT, value));
    if (source !== slider) slider.value = tau;
    if (source !== box) box.value = round(tau);
    for (const field of document.querySelectorAll("#replay [name=tau]")) field.value = round(tau);
    if (frame === null) frame = requestAnimationFrame(refresh);
  }

  function snapped(value) {
    return Math.round(value * 20) / 20;
  }

  slider.addEventListener("input", () => move(snapped(Number(slider.value)), slider));
  box.addEventListener("input", () => { if (box.value.trim() !== "") move(Number(box.value), box); });
  box.addEventListener("keydown", function (event) {
    const step = { ArrowUp: 0.05, ArrowDown: -0.05 }[event.key];
    if (!step) return;
    event.preventDefault();
    move(step > 0 ? Math.floor(tau * 20 + 1 + EDGE) / 20 : Math.ceil(tau * 20 - 1 - EDGE) / 20);
  });
  back.addEventListener("click", function () {
    move(now);
    slider.focus();
  });
  line.addEventListener("pointerdown", function (event) {
    line.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  line.addEventListener("pointermove", function (event) {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const axis = canvas._fullLayout.xaxis;
    const at = axis.p2l(event.clientX - canvas.getBoundingClientRect().left - axis._offset);
    move(snapped(Math.min(axis.range[1], Math.max(axis.range[0], at))));
  });
  document.addEventListener("themechange", refresh);
  window.addEventListener("resize", () => setTimeout(place, 200));

  async function begin() {
    try {
      const answer = await fetch(panel.dataset.numbers, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      numbers = await answer.json();
    } catch {
      state.textContent = "The scores could not be fetched. Load the page again.";
      return;
    }
    if (!numbers.all.length) return;
    canvas.querySelector(".chart-empty").remove();
    const low = Math.min(numbers.first / 20, now, tau);
    const high = Math.max((numbers.first + numbers.all.length) / 20, now, tau);
    slider.min = Math.max(-LIMIT, Math.floor(low * 20) / 20);
    slider.max = Math.min(LIMIT, Math.ceil(high * 20) / 20);
    slider.value = tau;
    canvas.dataset.ready = "true";
    refresh();
  }
  begin();
})();
