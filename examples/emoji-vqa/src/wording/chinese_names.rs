//! The measure words of Chinese names, and what Chinese calls the colours and the kinds of things.

use crate::catalogue::Category;
use crate::colour::Colour;

/// A measure word and names that take it, `-` before what nobody counts; everything else takes 个.
const MEASURES: &str = "头 牛
只 羊
座 城堡 喷泉 摩天轮
列 火车 蒸汽火车
本 书 书本 打开的书本
串 葡萄
颗 樱桃 草莓 宝石 药丸 炸弹 卫星
块 芝士 披萨
份 薯条
桶 爆米花
杯 葡萄酒 啤酒
朵 蘑菇
家 医院
枚 火箭 戒指
道 彩虹
团 火焰
副 眼镜
支 萨克斯管
面 鼓 盾牌
部 手机
扇 门
张 床
- 滑雪
只 猴子 小猴子 狗 小狗 狗狗 猫 猫咪 小猫 老虎 鹿 母羊 绵羊 老鼠 兔子 小兔子 兔 蝙蝠
只 考拉 树袋熊 无尾熊 公鸡 企鹅 鸽 鸽子 和平鸽 鹰 老鹰 鸭子 猫头鹰 青蛙 龟 乌龟 海豚
只 章鱼 八爪鱼 蟹 螃蟹 蜗牛 蝴蝶 蚂蚁 蜜蜂 瓢虫 七星瓢虫 蜘蛛 蝎子 大猩猩 红毛猩猩 红猩猩
只 导盲犬 贵宾犬 贵宾狗 泰迪 浣熊 黑猫 豹子 花豹 金钱豹 公羊 山羊 美洲鸵 美洲驼 羊驼 草泥马
只 长颈鹿 耗子 松鼠 花栗鼠 海狸 河狸 刺猬 树懒 水獭 臭鼬 袋鼠 獾 火鸡 鸡 鸟 小鸟 天鹅
只 渡渡鸟 火烈鸟 红鹳 孔雀 鹦鹉 翅膀 黑色的鸟 黑鸟 乌鸦 渡鸦 鹅 凤凰 火凤凰 不死鸟
只 蜥蜴 海豹 海螺 水母 海蜇 龙虾 虾 乌贼 鱿鱼 墨鱼 牡蛎 生蚝 蚝 海蛎子 甲虫 蟋蟀
只 蛐蛐 蟑螂 小强 蚊子 苍蝇 炸虾 网球拍 乒乓球拍 风筝 男鞋 皮鞋 女式凉鞋 凉鞋 法蒂玛之手
只 哈姆萨之手 羽毛球拍
匹 马 小马 斑马
头 奶牛 乳牛 花奶牛 猪 小猪 大象 犀牛 鲸鱼 驼鹿 驴 驴子 毛驴 大野牛 野牛 公牛 黄牛
头 水牛 野猪 山猪 猛犸 猛犸象 长毛象 河马 长颈恐龙 雷龙 腕龙 霸王龙 暴龙 蒜 大蒜
条 鳄鱼 蛇 小蛇 龙 鱼 小鱼 鲨鱼 领带 牛仔裤 连衣裙 四脚蛇 热带鱼 河豚 毛毛虫 毛虫
条 蠕虫 蚯蚓 高速公路 公路 高速路 铁轨 铁路 独木舟 围巾 三角裤 内裤 短裤
条 四角裤 平角裤 沙滩裤 断链 断开的链条 断掉的链子 链条 铁链 锁链
朵 玫瑰 玫瑰花 向日葵 太阳花 葵花 郁金香 云 云朵 浪花 白花 莲花 荷花 枯萎的花
朵 凋谢的花 枯萎的玫瑰 芙蓉 木槿花 扶桑花 雏菊 褐色蘑菇 棕色蘑菇 香菇 烟花 焰火 烟火
束 花束 捧花
棵 棕榈树 椰子树 仙人掌 三叶草
株 珊瑚 风信子 药草 草药 香草
片 落叶 培根 沙漠 废墟 创可贴 创口贴 药片 烟肉 OK绷
串 关东煮 团子 三色团子
颗 车厘子 钻石 蓝莓 橄榄 西兰花 西蓝花 青花菜 花生 豆 豆子 栗子 板栗 糖 闪亮的星星
颗 星星 流星 彗星 扫把星 人造卫星 胶囊
根 香蕉 胡萝卜 红萝卜 棒棒糖 蜡烛 羽毛 红辣椒 尖椒 黄瓜 青瓜 木头 原木 木桩 魔棒 魔法棒
根 魔杖 拐杖 拐棍
块 奶酪 比萨 比萨饼 姜 生姜 华夫饼 格子饼 黄油 牛油 饼干 曲奇 巧克力 朱古力 砖 砖头 岩石
块 石头 滑板 三角板 场记板 磁铁 吸铁石 皂 肥皂 香皂 海绵 墓碑 标语牌 告示牌
张 扁面包 馕 烙饼 煎饼 薄煎饼 票 门票 入场券 大小王 小丑牌 鬼牌 扑克牌 乐谱 五线谱
张 电脑光盘 光盘 光碟 软盘 收据 小票 发票 便条 便签
份 盒饭 便当 绿色沙拉 沙拉 蔬菜沙拉 奶黄 天妇罗 报纸 卷起的报纸 卷起来的报纸 备忘录
碗 米饭 白米饭 白饭 面条 拉面
盘 意粉 意大利面 意面 录像带 录影带
锅 奶酪火锅 芝士火锅
罐 罐头食品
瓶 盐 食盐 清酒 日本酒
杯 红酒 热饮 咖啡 香槟 马黛茶
辆 公交车 公共汽车 巴士 汽车 小汽车 轿车 拖拉机 摩托车 摩托 自行车 单车 脚踏车 警车 出租车
辆 的士 计程车 路面电车 有轨电车 无轨电车 小巴 面包车 中巴 铰接式货车 卡车 大卡车 货车
辆 小型摩托车 踏板车 小摩托 三轮摩托车 嘟嘟车 三轮车 三蹦子
列 地铁 捷运
架 飞机 直升机 直升飞机 小型飞机 小飞机 起飞的飞机 降落的飞机 雪橇 手风琴 钢琴 天平 梯子
艘 船 快艇 客轮 客船 邮轮 渡轮 渡船 轮渡 摩托艇 飞碟
座 火山 欧洲城堡 西式城堡 欧式城堡 教堂 清真寺 山 富士山 无人荒岛 荒岛 海岛 国家公园
座 体育馆 体育场 古典建筑 希腊神庙 神殿 日本城堡 天守阁 印度寺庙 印度教寺庙 印度神庙 犹太教堂
座 神社 鸟居 克尔白 天房 房子 摩埃 摩艾石像 复活节岛石像 鬼屋
间 屋子 小屋 茅屋 茅草屋
栋 房屋建筑 办公楼 写字楼 教学楼
家 邮局 银行 酒店 宾馆 旅馆 工厂 理发店 发廊
所 学校
面 砖墙 长鼓 非洲鼓 手鼓 镜子
把 伞 雨伞 匙 勺子 汤匙 吉他 电吉他 小提琴 剪刀 剪子 钥匙 锤子 榔头 扳手 茶壶 收起的伞
把 合上的伞 折起来的伞 水枪 玩具枪 班卓琴 斑鸠琴 算盘 直尺 三角尺 合上的锁 锁着的锁
把 锁上的锁 打开的锁 开着的锁 老式钥匙 旧钥匙 斧头 斧子 铁镐 镐头 十字镐 匕首 短剑 短刀
把 夹钳 椅子 剃须刀 刮胡刀 扫帚 扫把
顶 帐篷 皇冠 王冠 礼帽 马戏团帐篷 降落伞 女帽 草帽 遮阳帽 鸭舌帽 棒球帽 军用头盔 钢盔 头盔
台 电视机 电视 相机 照相机 蒸汽机车 笔记本电脑 电脑 手提电脑 收音机 显微镜 望远镜 老虎机
台 传真机 打印机 印表机 电子琴 天文望远镜
部 电梯 升降机
支 铅笔 麦克风 话筒 小号 萨克斯 注射器 针筒 针管 温度计 体温计 唇膏 口红 长笛 笛子 手电筒
支 手电 钢笔 笔 圆珠笔 原子笔 画笔 毛笔 香烟 卷烟
件 白大褂 实验服 救生衣 安全背心 反光背心 外套 大衣 风衣 和服 纱丽 莎丽 女装 女上衣 女衬衫
件 快递
双 手套 袜子
副 墨镜 太阳镜 听诊器 戏剧面具 滑雪板
套 比基尼
对 沙球 沙锤
本 打开的书 翻开的书 摊开的书 合上的书本 合上的书 红色的书 绿色书本 绿色的书 蓝色书本 蓝色的书
本 橙色书本 橙色的书 笔记本 练习本 账本 账簿 日历 线圈日历 台历
卷 线 缝纫线 羊皮卷
团 火 毛线
封 电子邮件 电邮 来信
枚 钻戒 军功章 勋章 奖牌 金牌 硬币 金币 图钉
节 电池
扇 窗户 窗子 窗
幅 带框的画
股 龙卷风
道 闪光
口 棺材 棺木
- 蜥蜴类 开花 碰杯 干杯 露营 施工 航班起飞 航班降落 闪亮 表演艺术 多个音符 淋浴 一摞书
";

/// With the measure word: `m` 只猫, `has` 猫有几只, `all` 猫一共几只, `many` 猫有多少只.
pub(super) fn form(name: &str, form: &str) -> Option<String> {
    let mut rows = MEASURES.lines().filter_map(|row| row.split_once(' '));
    let row = rows.find(|(_, names)| names.split(' ').any(|other| other == name));
    let measure = row.map_or("个", |(measure, _)| measure);
    if measure == "-" {
        return None;
    }
    match form {
        "m" => Some(format!("{measure}{name}")),
        "has" => Some(format!("{name}有几{measure}")),
        "all" => Some(format!("{name}一共几{measure}")),
        "many" => Some(format!("{name}有多少{measure}")),
        _ => None,
    }
}

/// `col` 红色, `col2` in other everyday words, `colb` and `colb2` the same without 色 (红底), `colp` in Latin letters.
pub(super) fn colour_form(colour: Colour, form: &str) -> Option<String> {
    let words = match colour {
        Colour::Red => ["红色", "红颜色", "红", "红", "hongse"],
        Colour::Orange => ["橙色", "橘色", "橙", "橘", "chengse"],
        Colour::Yellow => ["黄色", "黄颜色", "黄", "黄", "huangse"],
        Colour::Green => ["绿色", "绿颜色", "绿", "绿", "lvse"],
        Colour::Blue => ["蓝色", "蓝颜色", "蓝", "蓝", "lanse"],
        Colour::Purple => ["紫色", "紫颜色", "紫", "紫", "zise"],
        Colour::Pink => ["粉色", "粉红色", "粉", "粉红", "fense"],
        Colour::Gray => ["灰色", "灰颜色", "灰", "灰", "huise"],
    };
    let column = ["col", "col2", "colb", "colb2", "colp"].iter().position(|known| *known == form)?;
    Some(words[column].to_owned())
}

/// `kind` 动物, `kind2` and `kind3` in other everyday words, `kindm` with a measure word, `kindy` in Cantonese, `kindp` in
/// Latin letters.
pub(super) fn kind_form(kind: Category, form: &str) -> Option<String> {
    let words = match kind {
        Category::Animal => ["动物", "小动物", "动物", "只动物", "动物", "dongwu"],
        Category::Plant => ["植物", "花草树木", "植物", "株植物", "花草树木", "zhiwu"],
        Category::Food => ["食物", "吃的", "吃的东西", "份食物", "嘢食", "shiwu"],
        Category::Drink => ["饮料", "喝的", "喝的东西", "杯饮料", "嘢饮", "yinliao"],
        Category::Vehicle => {
            ["交通工具", "载具", "车船之类的东西", "种交通工具", "交通工具", "jiaotong gongju"]
        }
        Category::Place => ["建筑", "建筑物", "房屋之类的建筑", "座建筑", "建筑物", "jianzhu"],
        Category::Clothing => ["衣物", "穿的", "衣服之类的东西", "件衣物", "着嘅嘢", "yifu"],
        Category::Music => ["乐器", "乐器", "能演奏的东西", "件乐器", "乐器", "yueqi"],
        Category::Nature | Category::Sport | Category::Object => return None,
    };
    let forms = ["kind", "kind2", "kind3", "kindm", "kindy", "kindp"];
    let column = forms.iter().position(|known| *known == form)?;
    Some(words[column].to_owned())
}
