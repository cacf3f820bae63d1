/* Draws the charts of an experiment with Plotly, in the page's colours, and again whenever the numbers change. */
(function () {
  "use strict";
  const panel = document.getElementById("charts");
  if (!panel || !window.Plotly) return;
  const QUIET_MS = 4000; // at most one request in so long a time
  let numbers = null;
  let text = "";
  let fetchedAt = 0;
  let planned = null;

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--lw-" + name).trim();
  }

  function layout(extra) {
    const axis = { gridcolor: color("border"), linecolor: color("border"), zeroline: false, automargin: true, tickfont: { size: 11 }, title: { font: { size: 11 }, standoff: 6 } };
    return {
      margin: { l: 44, r: 10, t: 6, b: 34 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: color("muted") }, hovermode: "x unified",
      hoverlabel: { bgcolor: color("surface"), bordercolor: color("border"), font: { color: color("text") } },
      showlegend: false, uirevision: "keep", ...extra,
      xaxis: { ...axis, showgrid: false, ...(extra.xaxis || {}), title: { ...axis.title, ...((extra.xaxis || {}).title || {}) } },
      yaxis: { ...axis, ...(extra.yaxis || {}), title: { ...axis.title, ...((extra.yaxis || {}).title || {}) } },
    };
  }

  function draw(name, traces, extra, label) {
    const canvas = panel.querySelector('[data-chart="' + name + '"]');
    const empty = canvas.querySelector(".chart-empty");
    if (!traces.length || !traces.some((trace) => trace.x.length)) {
      if (!empty) return;
      empty.hidden = false;
      return;
    }
    if (empty) empty.remove();
    canvas.setAttribute("aria-label", label);
    Plotly.react(canvas, traces, layout(extra), { displayModeBar: false, responsive: true });
  }

  function last(values) {
    return values[values.length - 1];
  }

  function drawLoss(curve) {
    if (!curve) return draw("loss", [], {}, "");
    draw("loss", [
      { x: curve.steps, y: curve.values, name: "raw", mode: "lines", line: { color: color("edge"), width: 1 }, opacity: 0.65 },
      { x: curve.steps, y: curve.smooth, name: "smoothed", mode: "lines", line: { color: color("accent"), width: 2.5 } },
    ], {
      xaxis: { title: { text: "step" } }, yaxis: { title: { text: "loss" } }, showlegend: true,
      legend: { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "top", bgcolor: "rgba(0,0,0,0)" },
    }, "Training loss, smoothed: from " + curve.smooth[0].toFixed(2) + " to " + last(curve.smooth).toFixed(2) + " at step " + last(curve.steps));
  }

  function drawSmall(name, curve, scale, format, label, extra) {
    if (!curve) return draw(name, [], {}, "");
    const y = curve.values.map((value) => value * scale);
    draw(name, [{ x: curve.steps, y, mode: "lines", name: label, line: { color: color("accent"), width: 1.75 } }],
      { xaxis: { title: { text: "step" } }, yaxis: { tickformat: format, rangemode: "tozero", nticks: 5, ...extra } }, label + ": now " + last(y).toPrecision(3));
  }

  function drawTrend(name, points, label, format) {
    draw(name, [{ x: points.x, y: points.y, mode: "lines+markers", name: label, line: { color: color("accent"), width: 2 }, marker: { size: 7 }, cliponaxis: false }],
      { xaxis: { dtick: points.x.length > 12 ? undefined : 1 }, yaxis: { tickformat: format, rangemode: "tozero", nticks: 5 } },
      label + ": " + points.x.map((x, i) => x + ": " + points.y[i].toFixed(2)).join(", "));
  }

  /* Fine bins are put together to bars of a quarter point; the threshold works on the fine ones. */
  function drawGaps(gaps) {
    if (!gaps.counts || !gaps.counts.length) return draw("gaps", [], {}, "");
    const perBar = gaps.bins_per_point / 4;
    const bars = new Map();
    gaps.counts.forEach(function (count, place) {
      const bar = Math.floor((gaps.first + place) / perBar);
      bars.set(bar, (bars.get(bar) || 0) + count);
    });
    const tau = chosenTau(gaps);
    const x = [...bars.keys()].map((bar) => (bar + 0.5) / 4);
    const result = split(gaps, tau);
    draw("gaps", [{
      x, y: [...bars.values()], type: "bar", width: 0.235, name: "instructions",
      marker: { color: x.map((at) => (at >= tau ? color("waiting") : color("running"))), opacity: 0.85 },
      hovertemplate: "%{y} around %{x:.2f}<extra></extra>",
    }], {
      hovermode: "closest", bargap: 0.05, xaxis: { title: { text: "gap (teacher minus student)" } }, yaxis: { title: { text: "instructions" }, rangemode: "tozero" },
      shapes: [{ type: "line", x0: tau, x1: tau, yref: "paper", y0: 0, y1: 1, line: { color: color("text"), width: 1.5, dash: "dot" } }],
      annotations: [{ x: tau, yref: "paper", y: 1, yanchor: "top", xanchor: "left", text: " tau " + tau.toFixed(2), showarrow: false, font: { color: color("text") } }],
    }, "Gaps: " + result.hard + " at or above " + tau.toFixed(2) + ", " + result.easy + " below");
    showTau(gaps, tau, result);
  }

  function split(gaps, tau) {
    const edge = Math.round(tau * gaps.bins_per_point) - gaps.first;
    let hard = 0;
    let easy = 0;
    gaps.counts.forEach(function (count, place) {
      if (place >= edge) hard += count;
      else easy += count;
    });
    return { hard, easy };
  }

  const slider = document.getElementById("tau-slider");
  let moved = false;
  function chosenTau(gaps) {
    return moved ? Number(slider.value) : gaps.tau;
  }

  function showTau(gaps, tau, result) {
    panel.querySelector("[data-tau]").hidden = false;
    slider.min = Math.min(gaps.first / gaps.bins_per_point, gaps.tau);
    slider.max = Math.max((gaps.first + gaps.counts.length) / gaps.bins_per_point, gaps.tau);
    if (!moved) slider.value = gaps.tau;
    const words = result.hard.toLocaleString("en") + " hard, " + result.easy.toLocaleString("en") + " easy";
    document.getElementById("tau-result").textContent =
      "At " + tau.toFixed(2) + ": " + words + (moved && tau !== gaps.tau ? " (tau is " + gaps.tau.toFixed(2) + ")" : "");
  }

  function drawAll() {
    if (!numbers) return;
    const training = numbers.training;
    drawLoss(training.loss);
    drawSmall("learning_rate", training.learning_rate, 1, "~g", "Learning rate", {});
    drawSmall("tokens_per_second", training.tokens_per_second, 1, "", "Tokens per second", {});
    drawSmall("memory", training.memory_bytes, 1 / 2 ** 30, ".1f", "Memory in GB", { ticksuffix: " GB" });
    drawGaps(numbers.gaps);
    drawTrend("trend_loss", numbers.trends.loss, "Held-out loss", ".2f");
    drawTrend("trend_gap", numbers.trends.gap, "Held-out gap", ".2f");
    drawTrend("trend_hard", numbers.trends.hard_share, "Share of hard instructions", ".0%");
  }

  async function refresh() {
    planned = null;
    fetchedAt = Date.now();
    const state = document.getElementById("charts-state");
    try {
      const answer = await fetch(panel.dataset.charts, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const body = await answer.text();
      state.textContent = "";
      if (body === text) return;
      text = body;
      numbers = JSON.parse(body);
      drawAll();
    } catch {
      state.textContent = "The charts could not be brought up to date; they are tried again.";
    }
  }

  function refreshSoon() {
    if (planned === null) planned = setTimeout(refresh, Math.max(0, fetchedAt + QUIET_MS - Date.now()));
  }

  slider.addEventListener("input", function () {
    moved = true;
    drawGaps(numbers.gaps);
  });
  document.addEventListener("themechange", drawAll);
  document.addEventListener("htmx:afterSwap", function (event) {
    if (event.detail.target.id === "live") refreshSoon();
  });
  refresh();
})();
