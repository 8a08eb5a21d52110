"use strict";
// Draws the plots from the data in the page, again when the width or the colour scheme changes.
(() => {
	const curves = JSON.parse(document.getElementById("curves").textContent) || [];
	const scheme = matchMedia("(prefers-color-scheme: dark)");
	const height = 270;
	let drawn = [];

	const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

	const percentile = (nines) => {
		const digits = Math.max(0, Math.ceil(nines) - 2);
		return (100 * (1 - Math.pow(10, -nines))).toFixed(digits);
	};

	const short = (v) => {
		if (v >= 1e6) return +(v / 1e6).toPrecision(3) + " M";
		if (v >= 1e3) return +(v / 1e3).toPrecision(3) + " k";
		return String(+v.toPrecision(3));
	};

	// Decades alone leave too few labels when all values lie within one or two of them.
	const logTicks = (lo, hi) => {
		const marks = Math.log10(hi / lo) > 3 ? [1] : [1, 2, 5];
		const out = [];
		for (let e = Math.floor(Math.log10(lo)); e <= Math.ceil(Math.log10(hi)); e++) {
			for (const m of marks) {
				const v = m * Math.pow(10, e);
				if (v >= lo && v <= hi) out.push(v);
			}
		}
		return out;
	};

	const axis = (more) => Object.assign({
		stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 },
		font: "12px system-ui, sans-serif",
	}, more);

	function draw(plot) {
		const box = document.getElementById(plot.id);
		if (!box) return;
		const shared = plot.kind === "percentiles";
		const tables = plot.series.map((s) => [s.x, s.y]);
		const data = uPlot.join(tables);
		const format = (u, v) => v == null ? "–" : shared ? +v.toPrecision(3) + " ms" : short(v);
		const lines = plot.series.map((s) => ({
			label: s.name, stroke: css("--c" + s.colour), width: 2, spanGaps: true, points: { show: false }, value: format,
		}));
		const values = data.slice(1).flat().filter((v) => v > 0);
		const lo = Math.min(...values) / 1.3, hi = Math.max(...values) * 1.3;
		const options = {
			width: box.clientWidth, height: height, cursor: { drag: { x: true, y: false } },
			legend: { live: true },
			scales: shared
				? { x: { time: false }, y: { distr: 3, range: [lo, hi] } }
				: { x: { time: false, range: (u, from, to) => [Math.min(0, from), to] }, y: { range: [0, hi] } },
			axes: shared
				? [
					axis({ splits: (u, i, from, to) => [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((n) => n >= from && n <= to), values: (u, s) => s.map(percentile) }),
					axis({ size: 62, splits: () => logTicks(lo, hi), filter: (u, s) => s, values: (u, s) => s.map((v) => +v.toPrecision(2)) }),
				]
				: [
					axis({ values: (u, s) => s.map((v) => v + " s") }),
					axis({ size: 62, values: (u, s) => s.map(short) }),
				],
			series: [
				shared
					? { label: "percentile", value: (u, v) => v == null ? "–" : percentile(v) }
					: { label: "at", value: (u, v) => v == null ? "–" : v.toFixed(1) + " s" },
				...lines,
			],
		};
		drawn.push(new uPlot(options, data, box));
	}

	function all() {
		drawn.forEach((u) => u.destroy());
		drawn = [];
		curves.forEach(draw);
	}

	let waiting = 0;
	addEventListener("resize", () => {
		clearTimeout(waiting);
		waiting = setTimeout(all, 100);
	});
	scheme.addEventListener("change", all);
	all();

	document.getElementById("save").addEventListener("click", () => {
		const link = document.createElement("a");
		link.href = URL.createObjectURL(new Blob([document.getElementById("results").textContent], { type: "application/json" }));
		link.download = "results.json";
		link.click();
		URL.revokeObjectURL(link.href);
	});
})();
