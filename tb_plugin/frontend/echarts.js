// The parts of ECharts that the plugin draws with: little more than half of the full build.
// bundle.py turns this file into ../static/vendor/echarts.js; the plugin's own modules do
// `import * as echarts from "./vendor/echarts.js"` and are served as they are written.
import { use } from "echarts/core";
import {
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
} from "echarts/charts";
import {
  AriaComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TitleComponent,
  TooltipComponent,
} from "echarts/components";
// Canvas draws 100,000 points; SVG draws curves and gives the vector file.
import { CanvasRenderer, SVGRenderer } from "echarts/renderers";

use([
  BarChart,
  CustomChart,
  LineChart,
  ScatterChart,
  AriaComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TitleComponent,
  TooltipComponent,
  CanvasRenderer,
  SVGRenderer,
]);

export * from "echarts/core";
